"""The consent page of a sandbox's authorization server, as a person sees it in a browser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape


def consent_page(client_id: str, asked: Mapping[str, str], people: Sequence[str]) -> str:
    """Return a page that asks who signs in and what they allow; its form leads back here."""
    kept = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, value in {**asked, "sandbox_approve": "1"}.items()
        if name != "login_hint"
    )
    buttons = "".join(
        f'<li><button name="login_hint" value="{escape(person)}">{escape(person)}</button></li>'
        for person in people
    )
    scopes = "".join(f"<li>{escape(scope)}</li>" for scope in asked.get("scope", "").split())
    return (
        '<!doctype html><html lang="en"><title>Sandbox sign-in</title>'
        f"<h1>Allow {escape(client_id)} access?</h1><p>It asks for:</p><ul>{scopes}</ul>"
        f'<form method="get"><p>Continue as:</p>{kept}<ul>{buttons}</ul>'
        '<p><button name="login_hint" value="">Deny</button></p></form></html>'
    )
