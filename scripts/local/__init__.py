"""The local cloud: the project's real template, deployed by the real SAM CLI on this machine, without Docker.

MiniStack plays AWS. What it lacks and this project needs is added here, one gap a module, applied inside the server's
own process and named after what it mends: delete a module the day MiniStack does it itself.
"""
