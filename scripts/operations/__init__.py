"""What a person does to a running deployment, on AWS and locally alike: releases, runs, quarantine, erasures."""
