"""
What two servers' answers are compared by, and the differences that are right: each rule with its reason, and with a condition that is as narrow as
that reason. "Ours" is countersignd's answer, "theirs" NSD's.
"""

from dataclasses import dataclass, replace

import raw_dns
from raw_dns import ANY, CNAME, FORMERR, NOERROR, NOTIMP, NS, NXDOMAIN, REFUSED

_FLAGS = ("AA", "TC", "RD", "RA", "Z", "AD", "CD")
# The alias asked for and 16 more: our limit in one answer; a resolver goes on from the last one itself.
_MAX_LINKS = 17


class Context:
    """What rules may know about the zones, and how they ask once more: `ask(address, wire, tcp)` of each server."""

    def __init__(self, zones, ask_ours, ask_theirs):
        self.apexes = [raw_dns.labels(zone) for zone in zones.texts]
        self.owners = {raw_dns.fold(raw_dns.labels(name)) for names in zones.names.values() for name in names}
        self.ask_ours, self.ask_theirs = ask_ours, ask_theirs

    def zone_of(self, name):
        """The apex of the closest zone around a name, or None."""
        name = raw_dns.fold(name)
        found = [apex for apex in self.apexes if name[len(name) - len(apex) :] == apex]
        return max(found, key=len, default=None)


def decoded(octets):
    if octets is None:
        return None
    try:
        return raw_dns.parse(octets)
    except ValueError as error:
        return f"malformed: {error}: {octets.hex()}"


def _folded(records):
    return sorted(record.folded() for record in records)


def _options(message):
    """Its options, EDE aside; and the EDE codes."""
    options = dict(message.options())
    codes = sorted(int.from_bytes(data[:2], "big") for data in options.pop(raw_dns.EDE, []))
    return options, codes


def _edns_aspects(ours, theirs):
    if (ours.opt is None) != (theirs.opt is None):
        return {"edns presence"}
    if ours.opt is None:
        return set()
    found = set()
    for aspect, left, right in (("edns version", ours.edns_version, theirs.edns_version), ("edns flags", ours.edns_flags, theirs.edns_flags),
                                ("edns size", ours.opt.rclass, theirs.opt.rclass), ("edns options", _options(ours)[0], _options(theirs)[0]),
                                ("ede", _options(ours)[1], _options(theirs)[1])):
        if left != right:
            found.add(aspect)
    return found


def aspects_that_differ(ours, theirs):
    if ours is None or theirs is None:
        return set() if ours is theirs else {"silence"}
    if isinstance(ours, str) or isinstance(theirs, str):
        return {"malformed"}
    found = {flag for flag in _FLAGS if (ours.flags ^ theirs.flags) & getattr(raw_dns, flag)}
    plain = (("id", ours.ident, theirs.ident), ("opcode", ours.opcode, theirs.opcode), ("rcode", ours.rcode, theirs.rcode),
             ("question", ours.questions, theirs.questions))
    found |= {aspect for aspect, left, right in plain if left != right}
    found |= {section for section in ("answer", "authority", "additional") if _folded(getattr(ours, section)) != _folded(getattr(theirs, section))}
    return found | _edns_aspects(ours, theirs)


@dataclass(frozen=True)
class Rule:
    name: str
    aspects: frozenset
    why: str
    holds: object  # (query, ours, theirs) -> bool; both are messages, unless the aspect is silence


RULES = []
_SECTIONS = "answer authority additional"


def rule(name, aspects, why):
    """Adds a rule: the aspects that it explains, and why they may differ."""
    names = frozenset(part.strip() for part in aspects.replace(_SECTIONS, "answer,authority,additional").split(","))

    def add(holds):
        RULES.append(Rule(name, names, why, holds))
        return holds

    return add


# Rules that need another question to be judged; see compare().
TRUNCATED = Rule("truncation", frozenset(), "each server cuts a long answer where it likes (RFC 2181 section 9): the answers over TCP are compared; TC is right where the whole is too long", None)
ACROSS = Rule("alias into another zone", frozenset(), "a CNAME is followed into every zone that is served here, NSD stays in one: its answers for each link are put together", None)


@rule("CD", "CD", "CD is copied into the answer (RFC 4035 section 3.1.6), NSD clears it")
def _(query, ours, theirs):
    return query.flags & raw_dns.CD and ours.has(raw_dns.CD)


@rule("minimal", "authority, additional", "a positive answer goes without the zone's NS and their addresses, and without addresses that only a wildcard gives: nobody needs them")
def _(query, ours, theirs):
    targets = {raw_dns.fold(raw_dns.name_at(record.rdata, 0)[0]) for record in theirs.authority}
    extra = [record for record in theirs.additional if record.folded() not in _folded(ours.additional)]
    return (ours.answer and not ours.authority and {record.type for record in theirs.authority} == {NS}
            and set(_folded(ours.additional)) <= set(_folded(theirs.additional)) and all(raw_dns.fold(record.owner) in targets or raw_dns.fold(record.owner) not in query.context.owners for record in extra))


@rule("ANY", f"{_SECTIONS}, TC", "ANY gets one RRset (RFC 8482 section 4.1), and NSD picks another one, or several: it is the one that NSD has for that type")
def _(query, ours, theirs):
    types = {record.type for record in ours.answer}
    if query.type != ANY or len(types) != 1 or ours.rcode != theirs.rcode or not theirs.answer or ours.has(raw_dns.TC) or ours.authority:
        return False
    same = decoded(query.context.ask_theirs(raw_dns.query(query.name, types.pop()), True))
    return _folded(same.answer)[: len(ours.answer)] == _folded(ours.answer)


@rule("NSEC3", f"rcode, {_SECTIONS}", "a CNAME is followed whatever the type (RFC 1034 section 4.3.2 step 3a), NSD has no data of type NSEC3 at one")
def _(query, ours, theirs):
    return query.type == 50 and ours.answer and ours.answer[0].type == CNAME and not theirs.answer and theirs.rcode == NOERROR


@rule("long chain", _SECTIONS, f"a chain of CNAMEs is followed for {_MAX_LINKS} links, NSD follows more; a resolver asks for the last target itself")
def _(query, ours, theirs):
    links = [record for record in ours.answer if record.type == CNAME]
    return (len(links) == len(ours.answer) == _MAX_LINKS and not ours.authority and not ours.additional
            and set(_folded(ours.answer)) <= set(_folded(theirs.answer)) and sum(record.type == CNAME for record in theirs.answer) >= _MAX_LINKS)


@rule("RRSIG and NSEC", f"rcode, {_SECTIONS}", "RRSIG and NSEC may stand beside a CNAME, so they are not looked for behind it (RFC 4035 section 2.5); there are none: NODATA")
def _(query, ours, theirs):
    return (query.type in (raw_dns.RRSIG, 47) and theirs.answer and theirs.answer[0].type == CNAME and ours.rcode == NOERROR and not ours.answer
            and [record.type for record in ours.authority] == [raw_dns.SOA])


@rule("DS of a zone of ours", "answer, authority", "what a zone says of a zone below it that is served here too is left out; a DS in an unsigned zone proves nothing")
def _(query, ours, theirs):
    return query.type == raw_dns.DS and raw_dns.fold(query.name) in query.context.apexes and not ours.answer and [record.type for record in ours.authority] == [raw_dns.SOA]


@rule("question in an error", "question", "an error answer echoes the question where it can be read (RFC 8906 section 3), NSD sends the header alone")
def _(query, ours, theirs):
    return ours.rcode in (FORMERR, REFUSED) and not theirs.questions and len(ours.questions) == 1 and raw_dns.wire(ours.questions[0][0]) in query.wire


@rule("OPT in an error", "edns presence", "an error answer to a query with EDNS has an OPT (RFC 6891 section 7), NSD leaves it out of FORMERR")
def _(query, ours, theirs):
    return ours.rcode == theirs.rcode == FORMERR and ours.opt and not theirs.opt and query.has_opt


@rule("EDE", "ede", "a refusal says why (RFC 8914), in more cases than NSD; where NSD says Not Authoritative, so do we")
def _(query, ours, theirs):
    return _options(ours)[1] and (20 in _options(ours)[1] or 20 not in _options(theirs)[1] or ours.rcode != REFUSED)


@rule("RD in NOTIMP", "RD", "an unknown opcode gives the flags no meaning, so none is echoed (genreport opcodeflg); NSD copies RD")
def _(query, ours, theirs):
    return query.opcode != 0 and ours.rcode == theirs.rcode == NOTIMP and not ours.flags & 0x07F0


@rule("DO in BADVERS", "edns flags", "DO is copied into every answer with an OPT (RFC 3225 section 3), NSD clears it with BADVERS")
def _(query, ours, theirs):
    return ours.rcode == theirs.rcode == raw_dns.BADVERS and ours.edns_flags == raw_dns.DO and theirs.edns_flags == 0


@rule("no question", "rcode, edns presence", "only a cookie makes a query without question meaningful (RFC 7873 section 5.4): FORMERR; NSD says NOERROR")
def _(query, ours, theirs):
    return query.what == "no question" and ours.rcode == FORMERR and theirs.rcode == NOERROR and not ours.answer


@rule("silence", "silence", "what has a header is answered (RFC 8906 section 2), NSD drops a question that is cut short")
def _(query, ours, theirs):
    return theirs is None and isinstance(ours, raw_dns.Message) and query.what in ("header", "cut", "pointer", "label type") and ours.rcode == FORMERR and not ours.answer


@rule("further record", f"rcode, question, AA, TC, {_SECTIONS}", "a record behind the question that is no OPT does not concern a query, NSD says FORMERR")
def _(query, ours, theirs):
    return query.what == "answer in query" and theirs.rcode == FORMERR and ours.rcode in (NOERROR, NXDOMAIN, REFUSED)


@rule("RCODE in a query", f"rcode, question, AA, TC, {_SECTIONS}", "the RCODE of a query means nothing (RFC 1035 section 4.1.1) and is not looked at, NSD says FORMERR")
def _(query, ours, theirs):
    return query.flags & 15 and theirs.rcode == FORMERR and ours.rcode in (NOERROR, NXDOMAIN, REFUSED)


@rule("class ANY", f"rcode, AA, TC, {_SECTIONS}", "class ANY is refused, there is one class here; NSD answers as for IN")
def _(query, ours, theirs):
    return query.rclass == raw_dns.CLASS_ANY and ours.rcode == REFUSED and not ours.answer


# OPT, TSIG, TKEY and NXNAME are in no zone (RFC 6895 section 3.1, RFC 9824 section 3.4), transfers are not offered.
_META = {41: FORMERR, 249: FORMERR, 250: FORMERR, 128: FORMERR}


@rule("transfer", "rcode", "a zone transfer over UDP does not exist (RFC 5936 section 4.2): FORMERR; over TCP it is refused, NSD looks first whether the name has a zone")
def _(query, ours, theirs):
    expected = FORMERR if query.type == raw_dns.AXFR and not query.tcp else REFUSED
    return query.type in (raw_dns.AXFR, raw_dns.IXFR) and ours.rcode == expected and theirs.rcode in (NOTIMP, raw_dns.NOTAUTH)


@rule("meta type", f"rcode, AA, TC, {_SECTIONS}", "a type that cannot be in a zone is FORMERR, NSD looks it up like any other")
def _(query, ours, theirs):
    return query.type in _META and ours.rcode == _META[query.type] and not (ours.answer or ours.authority or ours.additional or ours.has(raw_dns.AA))


WHY = {entry.name: entry.why for entry in [*RULES, TRUNCATED, ACROSS]}


class _Asked:
    """A query as rules see it."""

    def __init__(self, query, context):
        self.context = context
        self.what, self.type, self.rclass, self.name, self.wire, self.tcp, self.plain = query.what, query.type, query.rclass, query.name, query.wire, query.tcp, query.plain
        self.flags = int.from_bytes(query.wire[2:4].ljust(2, b"\0"), "big")
        self.opcode = self.flags >> 11 & 15
        self.has_opt = query.wire[10:12] not in (b"", b"\0\0")


def compare(context, query, ours, theirs):
    """(aspects that no rule explains, names of the rules that were needed)."""
    return _compare(_Asked(query, context), ours, decoded(ours), decoded(theirs), [])


def _compare(query, octets, ours, theirs, used):
    left = aspects_that_differ(ours, theirs)
    if left and query.plain and isinstance(ours, raw_dns.Message) and isinstance(theirs, raw_dns.Message):
        joined = _joined(query, theirs)
        if joined is not theirs:
            theirs, left, used = joined, aspects_that_differ(ours, joined), [*used, ACROSS.name]
        # An ANY that is answered differs anyway; one that is referred does not.
        if not query.tcp and not (query.type == ANY and theirs.answer) and (ours.has(raw_dns.TC) or theirs.has(raw_dns.TC)):
            return _over_tcp(query, octets, ours, used)
    for entry in RULES:
        needed = left & entry.aspects
        if not needed or "malformed" in left or ("silence" in left and "silence" not in entry.aspects):
            continue
        if entry.holds(query, ours, theirs):
            left, used = left - entry.aspects, [*used, entry.name]
    return left, used


def _limit(query):
    """The octets that an answer over UDP may have: what the query offers, within 512 and 1232."""
    if not query.has_opt:
        return 512
    opt = query.wire.rindex(b"\0\0\x29") + 3
    return min(max(512, int.from_bytes(query.wire[opt : opt + 2], "big")), 1232)


def _over_tcp(query, octets, ours, used):
    whole_octets = query.context.ask_ours(query.wire, True)
    whole, theirs = decoded(whole_octets), decoded(query.context.ask_theirs(query.wire, True))
    if not isinstance(whole, raw_dns.Message) or not isinstance(theirs, raw_dns.Message):
        return {"silence over TCP"}, used
    if len(octets) > _limit(query):
        return {"size"}, used
    # TC only where the whole answer does not fit, and nothing in it that the whole has not.
    if ours.has(raw_dns.TC) and len(whole_octets) <= _limit(query):
        return {"TC of an answer that fits"}, used
    if not set(_folded(ours.answer + ours.authority + ours.additional)) <= set(_folded(whole.answer + whole.authority + whole.additional)):
        return {"records that the answer over TCP has not"}, used
    query.tcp = True
    return _compare(query, whole_octets, whole, theirs, [*used, TRUNCATED.name])


def _joined(query, theirs):
    """NSD's answer, with its answers about the targets of CNAMEs that lead from one zone into another."""
    joined, seen = theirs, set()
    while joined.rcode == NOERROR and query.type not in (CNAME, ANY):
        last = _open_end(joined.answer)
        if last is None or last in seen or query.context.zone_of(last[1]) in (None, query.context.zone_of(last[0])):
            break
        seen.add(last)
        more = decoded(query.context.ask_theirs(raw_dns.query(last[1], query.type, opt=raw_dns.opt_record(size=65535)), True))
        known = set(_folded(joined.answer))
        joined = replace(joined, answer=joined.answer + [record for record in more.answer if record.folded() not in known],
                         authority=more.authority, additional=more.additional, flags=joined.flags & ~15 | more.flags & 15)
    return joined


def _open_end(answer):
    """(owner, target) of the CNAME whose target has no record in the answer."""
    owners = {raw_dns.fold(record.owner) for record in answer}
    for record in answer:
        if record.type == CNAME:
            target = raw_dns.fold(raw_dns.name_at(record.rdata, 0)[0])
            if target not in owners:
                return raw_dns.fold(record.owner), target
    return None


def shown(octets):
    message = decoded(octets)
    return "no reply" if message is None else str(message)
