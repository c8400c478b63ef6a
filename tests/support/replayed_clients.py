"""
Requests of ACME clients that are not in Debian, octet by octet as their libraries send them, and what each looks at in the answer.
{host} {user} {key} {subdomain} {fqdn} {txt} {basic} stand for what a run knows; Content-Length is filled in.
"""

import re

from api_client import Raw, ask_raw


def _request(path, fields, body=""):
    return f"POST {path} HTTP/1.1\r\n" + "".join(field + "\r\n" for field in fields) + "\r\n" + body


_ACME_SH = ["Host: {host}", "User-Agent: acme.sh/3.1.1 (https://github.com/acmesh-official/acme.sh)", "Accept: */*"]
_GO = ["Content-Type: application/json", "Accept-Encoding: gzip"]
_GOACMEDNS = ["Host: {host}", "User-Agent: goacmedns (linux; amd64)", "Content-Length: {length}"]
_GO_DEFAULT = ["Host: {host}", "User-Agent: Go-http-client/1.1", "Content-Length: {length}"]
_GO_KEYS = ["X-Api-Key: {key}", "X-Api-User: {user}", "Accept-Encoding: gzip"]
_POWERSHELL_5 = ["User-Agent: Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) WindowsPowerShell/5.1.20348.2227"]
_KEYS = ["X-Api-User: {user}", "X-Api-Key: {key}"]
_REQUESTS = ["Host: {host}", "User-Agent: python-requests/2.31.0", "Accept-Encoding: gzip, deflate", "Accept: */*", "Connection: keep-alive"]

# name: (request of /register or None, request of /update, what the client needs)
ACME_DNS = {
    "acme.sh dns_acmedns": (
        _request("/register", [*_ACME_SH, "Content-Length: {length}", "Content-Type: application/x-www-form-urlencoded"]),
        _request("/update", [*_ACME_SH, *_KEYS, "Content-Length: {length}", "Content-Type: application/x-www-form-urlencoded"],
                 '{{"subdomain":"{subdomain}", "txt": "{txt}"}}'),
        {"sed", "quoted value"}),
    "goacmedns 0.1.1 (lego to 4.21, Traefik, cert-manager, acme-dns-client)": (
        _request("/register", [*_GOACMEDNS, *_GO]),
        _request("/update", [*_GOACMEDNS, "Content-Type: application/json", *_GO_KEYS], '{{"SubDomain":"{subdomain}","Txt":"{txt}"}}'),
        {"201", "200"}),
    "goacmedns 0.1.1 with an allow list": (
        _request("/register", [*_GOACMEDNS, *_GO], '{{"AllowFrom":["127.0.0.0/8","::1/128"]}}'),
        _request("/update", [*_GOACMEDNS, "Content-Type: application/json", *_GO_KEYS], '{{"SubDomain":"{subdomain}","Txt":"{txt}"}}'),
        {"201", "200", "allowfrom"}),
    "goacmedns 0.2.0 (lego from 4.21)": (
        _request("/register", [*_GOACMEDNS, *_GO], "null\n"),
        _request("/update", [*_GOACMEDNS, "Content-Type: application/json", *_GO_KEYS], '{{"subdomain":"{subdomain}","txt":"{txt}"}}\n'),
        {"201", "200"}),
    "cert-manager acmeDNS (update only)": (
        None,
        _request("/update", [*_GOACMEDNS, "Content-Type: application/json", *_GO_KEYS], '{{"SubDomain":"{subdomain}","Txt":"{txt}"}}'),
        {"200"}),
    "libdns/acmedns (Caddy, certmagic), no Content-Type": (
        None, _request("/update", [*_GO_DEFAULT, *_GO_KEYS], '{{"subdomain":"{subdomain}","txt":"{txt}"}}'), {"200"}),
    "certbot hook (python-requests), no body": (
        _request("/register", [*_REQUESTS, "Content-Length: {length}"]),
        _request("/update", [*_REQUESTS, *_KEYS, "Content-Type: application/json", "Content-Length: {length}"],
                 '{{"subdomain": "{subdomain}", "txt": "{txt}"}}'),
        {"201", "200", "json errors"}),
    "certbot hook (python-requests) with an allow list, no Content-Type": (
        _request("/register", [*_REQUESTS, "Content-Length: {length}"], '{{"allowfrom": ["127.0.0.0/8", "2002:c0a8:2a00::0/40"]}}'),
        _request("/update", [*_REQUESTS, *_KEYS, "Content-Type: application/json", "Content-Length: {length}"],
                 '{{"subdomain": "{subdomain}", "txt": "{txt}"}}'),
        {"201", "200", "json errors", "allowfrom"}),
    "Posh-ACME, PowerShell 5.1 (Expect: 100-continue)": (
        _request("/register", [*_POWERSHELL_5, "Content-Type: application/json", "Host: {host}", "Content-Length: {length}", "Expect: 100-continue",
                               "Connection: Keep-Alive"], "{{}}"),
        _request("/update", [*_KEYS, *_POWERSHELL_5, "Content-Type: application/x-www-form-urlencoded", "Host: {host}", "Content-Length: {length}",
                             "Expect: 100-continue"], '{{"txt":"{txt}","subdomain":"{subdomain}"}}'),
        {"2xx"}),
    "Posh-ACME, PowerShell 7": (
        _request("/register", ["Host: {host}", "User-Agent: Mozilla/5.0 (Windows NT 10.0; Microsoft Windows 10.0.20348; en-US) PowerShell/7.4.1",
                               "Accept: */*", "Accept-Encoding: gzip, deflate, br", "Content-Type: application/json", "Content-Length: {length}"], "{{}}"),
        _request("/update", ["Host: {host}", *_KEYS, "User-Agent: Mozilla/5.0 (Windows NT 10.0; Microsoft Windows 10.0.20348; en-US) PowerShell/7.4.1",
                             "Accept-Encoding: gzip, deflate, br", "Content-Type: application/x-www-form-urlencoded", "Content-Length: {length}"],
                 '{{"subdomain":"{subdomain}","txt":"{txt}"}}'),
        {"2xx"}),
    "win-acme (empty text/plain, an empty Basic)": (
        _request("/register", ["Host: {host}", "User-Agent: win-acme/2.2.9.1701 (+https://github.com/win-acme/win-acme)", "Authorization: Basic ",
                               "Content-Type: text/plain; charset=utf-8", "Content-Length: {length}"]),
        _request("/update", ["Host: {host}", "User-Agent: win-acme/2.2.9.1701 (+https://github.com/win-acme/win-acme)", "Authorization: Basic ", *_KEYS,
                             "Content-Type: application/json; charset=utf-8", "Content-Length: {length}"], '{{"subdomain":"{subdomain}","txt":"{txt}"}}'),
        {"members"}),
    "getssl, curl with HTTP/1.0": (
        "POST /register HTTP/1.0\r\nHost: {host}\r\nUser-Agent: curl/7.29.0\r\nAccept: */*\r\nContent-Length: {length}\r\n\r\n",
        "POST /update HTTP/1.0\r\nHost: {host}\r\nUser-Agent: curl/7.29.0\r\nAccept: */*\r\nX-Api-User: {user}\r\nX-Api-Key: {key}\r\n"
        "Content-Length: {length}\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\n" '{{"subdomain": "{subdomain}", "txt": "{txt}"}}',
        {"201", "200"}),
    "a Node.js client (chunked body)": (
        _request("/register", ["Host: {host}", "Content-Type: application/json", "Transfer-Encoding: chunked", "Connection: keep-alive"],
                 "2\r\n{{}}\r\n0\r\n\r\n"),
        _request("/update", ["Host: {host}", "x-api-user: {user}", "x-api-key: {key}", "Content-Type: application/json", "Transfer-Encoding: chunked",
                             "Connection: keep-alive"], "2\r\n{{\n\r\n{chunk}\r\n0\r\n\r\n"),
        {"201", "200"}),
}

# name: (request of /present, request of /cleanup, what the client needs)
_ACME_PROXY = [*_ACME_SH, "Authorization: Basic {basic}", "Accept: application/json", "Content-Type: application/json", "Content-Length: {length}"]
_HTTPREQ = [*_GO_DEFAULT, "Authorization: Basic {basic}", "Content-Type: application/json", "Accept-Encoding: gzip"]
HTTPREQ = {
    "acme.sh dns_acmeproxy": (
        _request("/present", _ACME_PROXY, '{{"fqdn": "{fqdn}.", "value": "{txt}"}}'),
        _request("/cleanup", _ACME_PROXY, '{{"fqdn": "{fqdn}.", "value": "{txt}"}}'), {"quoted value"}),
    "lego httpreq (Traefik)": (
        _request("/present", _HTTPREQ, '{{"fqdn":"{fqdn}.","value":"{txt}"}}\n'),
        _request("/cleanup", _HTTPREQ, '{{"fqdn":"{fqdn}.","value":"{txt}"}}\n'), {"200"}),
    "lego httpreq before 4.10 (no newline)": (
        _request("/present", _HTTPREQ, '{{"fqdn":"{fqdn}.","value":"{txt}"}}'),
        _request("/cleanup", _HTTPREQ, '{{"fqdn":"{fqdn}.","value":"{txt}"}}'), {"200"}),
    "dns-lexicon-like curl": (
        _request("/present", ["Host: {host}", "Authorization: basic {basic}", "User-Agent: curl/7.88.1", "Accept: */*", "Content-Length: {length}",
                              "Content-Type: application/x-www-form-urlencoded"], '{{"fqdn":"{fqdn}","value":"{txt}"}}'),
        _request("/cleanup", ["Host: {host}", "Authorization: basic {basic}", "User-Agent: curl/7.88.1", "Accept: */*", "Content-Length: {length}",
                              "Content-Type: application/x-www-form-urlencoded"], '{{"fqdn":"{fqdn}","value":"{txt}"}}'), {"200"}),
}


def fill(template, **known):
    """The octets of a request."""
    if "{chunk}" in template:
        rest = f'"subdomain":"{known["subdomain"]}","txt":"{known["txt"]}"}}'
        known["chunk"] = f"{len(rest):x}\r\n{rest}"
    head, _, body = template.partition("\r\n\r\n")
    body = body.format(**known)
    return (head.format(length=len(body.encode()), **known) + "\r\n\r\n" + body).encode()


def acme_sh_member(body, member):
    """What acme.sh's sed finds: s/^{.*"MEMBER":[ ]*"\\([^"]*\\)".*}/\\1/p, on each line."""
    for line in body.split("\n"):
        found = re.match(r'^\{.*"%s":[ ]*"([^"]*)".*\}' % member, line)
        if found:
            return found.group(1)
    return ""


def send(address, port, octets, source=None):
    """The final answer; a client that said Expect: 100-continue waits for that first, as .NET does for 350 ms, and then sends its body."""
    if b"expect: 100-continue" not in octets.lower():
        return ask_raw(address, port, octets, source=source)
    head, body = octets.split(b"\r\n\r\n", 1)
    raw = Raw(address, port, source=source)
    try:
        raw.send(head + b"\r\n\r\n")
        first = raw.receive()
        if first.status != 100:
            raise AssertionError(f"Expect: 100-continue is answered {first}")
        return raw.ask(body)
    finally:
        raw.close()
