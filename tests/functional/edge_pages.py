"""A page of `scripts/edge` as a person uses it."""

from tests.functional.browser import Tab

READY = "!document.querySelector('#go').disabled"


def ask(tab: Tab, text: str) -> str:
    """Ask as a person does, by keyboard; what the page answers."""
    tab.see("document.querySelector('#text').value = ''; document.querySelector('#text').focus()")
    tab.type(text)
    before = tab.see("document.querySelector('#thanks').textContent")
    tab.see("document.querySelector('#thanks').textContent = ''")
    assert before is not None
    tab.press("Tab", "Enter")
    tab.wait(f"document.querySelector('#thanks').textContent && {READY}")
    return tab.see("document.querySelector('#said').textContent")
