"""Keeps secrets out of texts that are shown: tokens and proxy passwords, each owned by an account."""

import json
import re
from collections.abc import Iterable
from urllib.parse import quote

REDACTED = "<redacted>"
# A shorter one is a part of ordinary words.
_SHORTEST = 4
_JSON_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


class Redactor:
    """Leaves the secrets of all accounts out of a text."""

    def __init__(self) -> None:
        self.accounts: set[Secrets] = set()
        self._forms: tuple[str, ...] | None = ()

    def account(self) -> "Secrets":
        """Secrets of one more account, none yet."""
        return Secrets(self)

    def changed(self) -> None:
        # Sorted when next needed: hundreds of accounts that start change it one after another.
        self._forms = None

    def __call__(self, text: str) -> str:
        forms = self._forms
        if forms is None:
            forms = self._forms = _longest_first(form for account in self.accounts for form in account.forms)
        return _without(forms, text)


class Secrets:
    """
    The secrets of one account, of several kinds.

    For each kind the ones before stay hidden until they are replaced again: requests that carry them may still be
    under way.

    Attributes:
        forms: The texts by which they are found, the longest first.
    """

    def __init__(self, redactor: Redactor) -> None:
        self.forms: tuple[str, ...] = ()
        self._redactor = redactor
        self._kept: dict[str, tuple[frozenset[str], frozenset[str]]] = {}
        self._fragments: tuple[bytes, ...] = ()

    def replace(self, kind: str, secrets: Iterable[str]) -> None:
        """Hide these secrets from now on, in place of those before the last ones of that kind."""
        now = frozenset(secret for secret in secrets if len(secret) >= _SHORTEST)
        last, _ = self._kept.get(kind, (frozenset(), frozenset()))
        if now == last:
            return
        self._kept[kind] = (now, last)
        hidden = frozenset().union(*(group for groups in self._kept.values() for group in groups))
        self.forms = _longest_first(form for secret in hidden for form in _forms(secret))
        self._fragments = tuple(max(re.findall(rb"\w*", secret.encode()), key=len) for secret in hidden)
        self._redactor.accounts.add(self)
        self._redactor.changed()

    def forget(self) -> None:
        """Hide none of them any more."""
        self._redactor.accounts.discard(self)
        self._redactor.changed()

    def in_answer(self, body: bytes) -> bytes:
        """Leave the secrets out of the JSON of an answer, however its strings are escaped."""
        # No encoder escapes letters and digits; a body without those of a secret is the ordinary case.
        for fragment in self._fragments:
            if fragment in body:
                return _JSON_STRING.sub(self._in_string, body)
        return body

    def _in_string(self, match: re.Match[bytes]) -> bytes:
        try:
            text = json.loads(match[0])
        except ValueError:  # the parser of the whole answer refuses it too
            return match[0]
        redacted = _without(self.forms, text)
        return match[0] if redacted == text else json.dumps(redacted).encode()


def _forms(secret: str) -> set[str]:
    """A secret as it is, and as it looks in a URL, a `repr` or JSON."""
    in_url = quote(secret, safe="", errors="replace")
    in_json = {json.dumps(secret, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)}
    return {secret, in_url, repr(secret)[1:-1], *in_json}


def _longest_first(forms: Iterable[str]) -> tuple[str, ...]:
    # One secret may begin with another.
    return tuple(sorted(set(forms), key=len, reverse=True))


def _without(forms: Iterable[str], text: str) -> str:
    for form in forms:
        if form in text:
            text = text.replace(form, REDACTED)
    return text
