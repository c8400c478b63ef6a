#!/usr/bin/python3
"""
A CA that misbehaves at one step of a real issuance. In each case: the exit status and what is said; nothing stays published; nothing on the disk is
torn; live/ stays as it was; and the next run, with a CA that behaves, succeeds.
"""

import re

import base
import odd_ca
import wrong_certificates as wrong
import zone_files
from odd_ca import OddCa
from odd_cases import Case, OddCaTest, said
from own_state import OwnState

# The answers of these are JSON.
JSON_STEPS = ["directory", "account", "order", "authorization", "poll", "finalize"]
ALL_STEPS = ["directory", "nonce", "account", "order", "authorization", "challenge", "finalize", "certificate"]


class Broken(OddCaTest):
    """Faults of the connection and of whatever stands between us and the CA."""

    def test_pages_instead_of_answers(self):
        cases = []
        for step in ALL_STEPS:
            for status in (500, 503, 403):
                cases.append(Case(f"HTTP {status}", step, odd_ca.answer_page(status), rf"HTTP {status}"))
        self.run_cases(cases)

    def test_cut_connections(self):
        cases = []
        for step in ALL_STEPS:
            cases.append(Case("cut", step, odd_ca.cut, "cut short"))
            if step != "nonce":  # a HEAD: it has no body
                cases.append(Case("cut in the middle", step, odd_ca.cut_in_the_middle, said(step, "cut short")))
            cases.append(Case("no HTTP at all", step, odd_ca.no_http, r"(?i)no HTTP|not HTTP|HTTP/0\.9|not speak"))
        self.run_cases(cases)

    def test_trouble_that_passes(self):
        cases = []
        for step in [*ALL_STEPS, "poll"]:
            for label, act in {
                "503": odd_ca.answer_page(503), "503 with Retry-After": odd_ca.answer_page(503, ("Retry-After", "1")), "cut": odd_ca.cut,
                "answer lost": odd_ca.lose_answer, "answer late": odd_ca.slow(0.7), "answer in pieces": odd_ca.drip(20, 0.02),
                "429 with Retry-After": odd_ca.answer_problem(429, "rateLimited", "slow down", ("Retry-After", "1")),
            }.items():
                cases.append(Case(label, step, act, times=1, fresh=True))
        self.run_cases(cases)

    def test_too_much(self):
        cases = []
        for step in ALL_STEPS:
            if step != "nonce":
                cases.append(Case("a body of 8 MB", step, odd_ca.oversized(8 << 20), said(step, "larger than")))
                cases.append(Case("a body without end", step, odd_ca.endless, said(step, "larger than")))
            cases.append(Case("headers of 512 KB", step, odd_ca.huge_headers, said(step, "(?i)header")))
        self.run_cases(cases)

    def test_redirects(self):
        cases = []
        for step in ALL_STEPS:
            cases.append(Case("to itself", step, lambda exchange: odd_ca.redirect(302, exchange.path)(exchange), "redirects to"))
            cases.append(Case("to http", step, odd_ca.redirect(308, "http://127.0.0.1/secret"), "redirects to http://127.0.0.1/secret"))
        self.run_cases(cases)


class Nonsense(OddCaTest):
    """Answers that are HTTP and no ACME."""

    def test_malformed_json(self):
        cases = []
        for step in JSON_STEPS:
            for label, body in {
                "cut JSON": None, "nothing": b"", "a list": b"[1, 2]", "null": b"null", "NUL octets": b"\0" * 100, "deep nesting": b"[" * 100000,
                "no UTF-8": b'{"status": "\xff\xfe"}', "numbers for texts": b'{"status": 7, "newNonce": 7, "finalize": 7}',
            }.items():
                act = odd_ca.change(odd_ca.half_of_the_body) if body is None else odd_ca.body(body)
                cases.append(Case(label, step, act, said(step, r"JSON|is missing|is not|is no |Location"), within=6.0))
        self.run_cases(cases)

    def test_wrong_content_types(self):
        # The body counts: a CA behind a careless proxy is still a CA.
        cases = [Case("text/html", step, odd_ca.content_type("text/html")) for step in JSON_STEPS]
        cases.append(Case("text/html", "certificate", odd_ca.content_type("text/html"), "text/html"))
        cases.append(Case("PKCS#7", "certificate", odd_ca.content_type("application/pkcs7-mime"), "application/pkcs7-mime"))
        self.run_cases(cases)

    def test_missing_headers_and_members(self):
        def drop(member):
            return odd_ca.json_edit(lambda document: document.pop(member, None))

        cases = [
            Case("no Location", "account", odd_ca.without("Location"), "Location"),
            Case("no Location", "order", odd_ca.without("Location"), "Location"),
            Case("Location with http", "order", odd_ca.with_header("Location", "http://127.0.0.1/order"), "https"),
            Case("Location that is none", "order", odd_ca.with_header("Location", "\x7f::"), "(?i)Location|URL"),
            Case("no nonce", "nonce", odd_ca.without("Replay-Nonce"), "Replay-Nonce"),
            Case("nonce of no form", "nonce", odd_ca.with_header("Replay-Nonce", "a b+/="), "Replay-Nonce"),
            # RFC 8555 section 6.5: a CA SHOULD give one with errors, and MUST with each success; newNonce is there all the same.
            Case("no nonces but from newNonce", "order", odd_ca.without("Replay-Nonce")),
            Case("no nonces but from newNonce", "finalize", odd_ca.without("Replay-Nonce")),
        ]
        for member in ("newNonce", "newOrder"):
            cases.append(Case(f"no {member}", "directory", drop(member), member))
        cases.append(Case("no newAccount", "directory", drop("newAccount"), "newAccount"))
        for member in ("authorizations", "finalize", "status"):
            cases.append(Case(f"no {member}", "order", drop(member), member))
        for member in ("challenges", "identifier", "status"):
            cases.append(Case(f"no {member}", "authorization", drop(member), member))
        self.run_cases(cases)

    def test_contents_that_cannot_be(self):
        def edit(step, label, change, words, **options):
            return Case(label, step, odd_ca.json_edit(change), words, **options)

        def each_challenge(change):
            def apply(document):
                for challenge in document["challenges"]:
                    change(challenge)

            return apply

        def only(*types):
            return lambda document: document.update(challenges=[one for one in document["challenges"] if one["type"] in types])

        elsewhere = "http://127.0.0.1:1/x"
        cases = [
            edit("directory", "http URLs", lambda d: d.update(newOrder=elsewhere, newNonce=elsewhere), "https"),
            edit("order", "authorization over http", lambda d: d.update(authorizations=[elsewhere]), "https"),
            edit("poll", "finalize over http", lambda d: d.update(finalize=elsewhere), "https"),
            edit("order", "10,000 authorizations", lambda d: d.update(authorizations=d["authorizations"] * 10000), "authorizations|larger"),
            edit("order", "a status of no RFC", lambda d: d.update(status="thinking"), "status"),
            edit("order", "valid at once", lambda d: d.update(status="valid", certificate=d["finalize"]), "key of that is not here"),
            edit("authorization", "another name", lambda d: d["identifier"].update(value="evil.example"), r"evil\.example"),
            edit("authorization", "a name of octets", lambda d: d["identifier"].update(value="\x1b]0;x\x07\x9b31m.example"), "not ordered"),
            edit("authorization", "an IP address", lambda d: d["identifier"].update(type="ip", value="192.0.2.1"), r"192\.0\.2\.1|\"ip\""),
            edit("authorization", "deactivated", lambda d: d.update(status="deactivated"), "cannot be used|deactivated"),
            edit("authorization", "expired", lambda d: d.update(status="expired"), "cannot be used|expired"),
            edit("authorization", "a status of no RFC", lambda d: d.update(status="odd"), "status"),
            edit("authorization", "no dns-01", only("http-01", "tls-alpn-01"), "offers no dns-01"),
            edit("authorization", "no challenges", only(), "offers no dns-01|challenge"),
            edit("authorization", "no token", each_challenge(lambda c: c.pop("token", None)), "token|offers no dns-01"),
            edit("authorization", "a token with dots", each_challenge(lambda c: c.update(token="../../etc/passwd")), "token"),
            edit("authorization", "challenge over http", each_challenge(lambda c: c.update(url=elsewhere)), "https"),
            # A type that nobody knows is skipped (Pebble 2.10 has one without a token).
            edit("authorization", "strange challenges beside", lambda d: d["challenges"].insert(0, {"type": "magic-01", "x": [1]}), None),
            edit("order", "members of the future", lambda d: d.update(future={"a": [1]}), None),
        ]
        self.run_cases(cases)

    def test_texts_of_the_ca_cannot_steer_the_terminal(self):
        nasty = "\x1b[2J\x1b]0;owned\x07 no \u202egnirts\r\nerror: all is well\x00"
        cases = [Case("in a problem", step, odd_ca.answer_problem(403, "unauthorized", nasty), "unauthorized") for step in ("account", "order", "finalize")]
        cases.append(Case("in the type", "order", odd_ca.answer_problem(400, nasty, "x"), "HTTP 400"))
        self.run_cases(cases)


class Certificates(OddCaTest):
    """A chain that is not what was asked for is never installed."""

    def test_wrong_certificates(self):
        good = wrong.intermediate()
        made = {
            "another key": (lambda ca: wrong.pem(wrong.leaf(ca, other_key=True), good), "key"),
            "another name": (lambda ca: wrong.pem(wrong.leaf(ca, names=["evil.example"]), good), r"name|evil\.example"),
            "a name more": (lambda ca: wrong.pem(wrong.leaf(ca, names=["n1.example.test", "evil.example"]), good), "name"),
            "no names": (lambda ca: wrong.pem(wrong.leaf(ca, names=[]), good), "name"),
            "expired": (lambda ca: wrong.pem(wrong.leaf(ca, not_before=wrong.now() - 9 * wrong.DAY, not_after=wrong.now() - wrong.DAY), good), "expired|valid|clock"),
            "nothing": (lambda ca: b"", "certificate"),
            "text": (lambda ca: b"be patient\n", "certificate"),
            "broken base64": (lambda ca: wrong.pem(wrong.leaf(ca), good).replace(b"M", b"!", 3), "certificate"),
            "half a chain": (lambda ca: wrong.pem(wrong.leaf(ca), good)[:-200], "certificate"),
            "a key beside": (lambda ca: wrong.pem(wrong.leaf(ca), good) + open(ca.pebble.private_key, "rb").read(), "certificate|PRIVATE|key"),
            "17 certificates": (lambda ca: wrong.pem(wrong.leaf(ca), *[good] * 17), "certificate"),
            "chain of another CA": (lambda ca: wrong.pem(wrong.leaf(ca), wrong.intermediate(2)), "chain|issue|sign"),
            "the chain without the leaf": (lambda ca: wrong.pem(good), "certificate|key"),
        }
        self.run_cases([Case(label, "certificate", wrong.instead(make), words) for label, (make, words) in made.items()])

    def test_a_clock_that_disagrees(self):
        # RFC 8555 knows no clock; a certificate from the future is fine for the CA and not for who looks at it.
        def warned(test, run):
            test.expect(re.search(r"clock", run.text()), f"no word about the clock: {run}")

        future = wrong.instead(lambda ca: wrong.pem(wrong.leaf(ca, not_before=wrong.now() + wrong.DAY), wrong.intermediate()))
        self.run_cases([Case("not yet valid", "certificate", future, also=warned)])

    def test_https_certificate_from_another_time_or_for_another_name(self):
        now, day = wrong.now(), wrong.DAY
        for label, options, words in (
                ("expired", {"not_before": now - 3 * day, "not_after": now - day}, "expired"),
                ("not yet valid", {"not_before": now + day, "not_after": now + 3 * day}, "not yet valid"),
                ("another name", {"address": "192.0.2.1"}, r"(?i)name|match"),
                ("nobody's", {"trusted": False}, r"(?i)trust|ca_bundle|issuer|verify")):
            with self.subTest(label=label), OddCa(self.net.pebble, tls=wrong.server_files(self.net, label, **options)) as ca:
                own = OwnState(self.net, f"https-{label}", ca.url)
                run = own.issue(zone_files.NUMBERED[0])
                self.assert_exit(run, 1)
                self.assertRegex(run.json()["error"]["message"], words)
                self.assertEqual(ca.seen, [], "something was said over a connection that must not be trusted")


if __name__ == "__main__":
    base.main()
