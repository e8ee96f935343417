"""Finds the values of secrets in a stream, also encoded, and puts ``***`` in their place."""

import base64
import bisect
import json
import re
from urllib.parse import quote_from_bytes

SHORTEST = 4  # bytes; a shorter value would be found everywhere
SHORTEST_LINE = 8
WIDTHS = (64, 76)  # characters of a line of base64: PEM (RFC 7468), MIME (RFC 2045)
ARMOUR = b"-----"  # begins and ends a line of PEM that holds no part of the value, and stands in many files
STARS = b"***"


class Patterns:
    """What to look for: every form of every value, found by its first four bytes."""

    def __init__(self, values):
        self.names = {}  # name of the secret by form of its value
        for name in sorted(values):
            for form in forms(values[name]):
                self.names.setdefault(form, name)
        self._buckets = {}
        for form in self.names:
            self._buckets.setdefault(form[:SHORTEST], []).append(form)
        for bucket in self._buckets.values():
            bucket.sort()
        self._lengths = {
            key: sorted({len(form) for form in bucket}, reverse=True) for key, bucket in self._buckets.items()
        }
        self.longest = max(map(len, self.names), default=0)
        self._heads = {key[:size] for key in self._buckets for size in range(1, SHORTEST)}
        self._search = re.compile(_expression(set(self._buckets)) if self._buckets else b"(?!)").search

    def next(self, text, start, final):
        """Where from ``start`` on the first value begins, and its end; ``None`` for the end where that is not known before more comes."""
        match = self._search(text, start)
        while match is not None:
            place = match.start()
            end = self._end(text, place, final)
            if end != place:
                return place, end
            match = self._search(text, place + 1)
        if not final:
            for place in range(max(start, len(text) - SHORTEST + 1), len(text)):
                if text[place:] in self._heads:
                    return place, None
        return len(text), len(text)

    def _end(self, text, place, final):
        key = text[place:place + SHORTEST]
        bucket, lengths = self._buckets[key], self._lengths[key]
        rest = text[place:place + lengths[0]]
        if not final and len(rest) < lengths[0]:
            after = bisect.bisect_right(bucket, rest)
            if after < len(bucket) and bucket[after].startswith(rest):
                return None
        for length in lengths:
            if rest[:length] in self.names:
                return place + len(rest[:length])
        return place

    def first(self, text):
        """The name of the first secret that is in ``text``."""
        place, end = self.next(text, 0, True)
        return self.names[text[place:end]] if end > place else None


class Mask:
    """Masks one stream. Nothing is told before it is sure that no value begins in it; what is held back is shorter than the longest form."""

    def __init__(self, patterns):
        self._patterns = patterns
        self._kept = b""
        self._hidden = 0  # bytes of what is kept that belong to a value whose stars were told

    def feed(self, data, final=False):
        """What can be told now; with ``final`` all of it."""
        text = self._kept + data
        told, place, out = self._hidden, 0, []
        while True:
            place, end = self._patterns.next(text, place, final)
            if end is None or place == len(text):
                break
            if place >= told:
                out += [text[told:place], STARS]
            told = max(told, end)
            place += 1  # another value may begin inside this one
        if place > told:
            out.append(text[told:place])
            told = place
        self._kept, self._hidden = text[place:], told - place
        return b"".join(out)


def forms(value):
    """Every form of a value that is looked for; of several lines also each line that is not short."""
    text = value.strip()
    lines = [line.strip() for line in text.splitlines()]
    found = {text} | _base64(text) | _base64(value) | _quoted(text) | _escaped(text)
    for line in lines:
        if len(line) >= SHORTEST_LINE and not (line.startswith(ARMOUR) and line.endswith(ARMOUR)):
            found |= {line} | _escaped(line)
    return {form for form in found if len(form) >= SHORTEST}


def _base64(value):
    """Base64 (RFC 4648), both alphabets: alone, in lines, and inside the base64 of a longer text, where it can begin at three places."""
    found = set()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        whole = encode(value)
        found |= {whole, whole.rstrip(b"=")}
        for shift in range(3):
            # Only the characters that are made of bits of the value alone.
            encoded = encode(b"\0" * shift + value)
            found.add(encoded[(0, 2, 3)[shift]:(shift + len(value)) * 8 // 6])
        for width in WIDTHS:
            lines = [whole[start:start + width] for start in range(0, len(whole), width)]
            found |= {line for line in lines if len(line) >= SHORTEST_LINE}
    return found


def _quoted(value):
    """Percent-encoding (RFC 3986) as libraries do it, in large and small letters."""
    found = set()
    for safe in ("", "/"):
        quoted = quote_from_bytes(value, safe=safe)
        found |= {quoted, quoted.replace("%20", "+")}
    small = {re.sub("%[0-9A-F]{2}", lambda match: match.group().lower(), quoted) for quoted in found}
    return {quoted.encode() for quoted in found | small}


def _escaped(value):
    """As it stands in a string of JSON."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return set()
    return {json.dumps(text, ensure_ascii=flag)[1:-1].encode("utf-8", "surrogatepass") for flag in (True, False)}


def _expression(keys):
    """A regular expression for texts of one length: a tree, which takes the same time however many there are."""
    heads = {}
    for key in keys:
        heads.setdefault(key[:1], set()).add(key[1:])
    if set(heads) == {b""}:
        return b""
    return b"(?:" + b"|".join(re.escape(head) + _expression(heads[head]) for head in sorted(heads)) + b")"
