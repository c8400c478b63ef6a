"""Other ACME clients of Debian, publishing through the HTTP API of countersignd, set up as their documentation says."""

import json
import os

import peers


class LegoAcmeDns(peers.Lego):
    """Its first run registers and says which CNAME to add; the account is in a file from then on."""

    PROVIDER = "acme-dns"

    def prepare_provider(self):
        self.storage = os.path.join(self.folder, "accounts.json")
        self.environment.update({"ACME_DNS_API_BASE": self.net.api_url, "ACME_DNS_STORAGE_PATH": self.storage})

    def accounts(self):
        """{domain: what POST /register gave, in its own spelling}"""
        with open(self.storage, encoding="utf-8") as file:
            return json.load(file)


class LegoHttpreq(peers.Lego):
    PROVIDER = "httpreq"

    def __init__(self, net, account, *, mode="", follows=False):
        self._account, self._mode, self._follows = account, mode, follows
        super().__init__(net)

    def prepare_provider(self):
        self.environment.update({"HTTPREQ_ENDPOINT": self.net.api_url, "HTTPREQ_USERNAME": self._account.username, "HTTPREQ_PASSWORD": self._account.password})
        if self._mode:
            self.environment["HTTPREQ_MODE"] = self._mode
        if not self._follows:
            del self.environment["LEGO_EXPERIMENTAL_CNAME_SUPPORT"]


# A manual-auth-hook of the form that those for acme-dns have: accounts in a JSON file, a new one where there is none, only 201 and 200 are good,
# and the body of any answer is JSON.
_MANUAL_HOOK = '''#!/usr/bin/python3
import json, os, sys, urllib.error, urllib.request

URL, STORAGE = sys.argv[1:3]
domain = os.environ["CERTBOT_DOMAIN"]
if domain.startswith("*."):
    domain = domain[2:]


def post(path, body=None, headers={}):
    request = urllib.request.Request(URL + path, data=b"" if body is None else json.dumps(body).encode(), headers=headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


try:
    with open(STORAGE) as file:
        accounts = json.load(file)
except FileNotFoundError:
    accounts = {}
if domain not in accounts:
    status, answer = post("/register")
    if status != 201:
        sys.exit("register: %d %s" % (status, answer))
    accounts[domain] = answer
    with open(STORAGE, "w") as file:
        json.dump(accounts, file)
    print("Please add the following CNAME record to your main DNS zone:\\n_acme-challenge.%s CNAME %s" % (domain, answer["fulldomain"]))
account = accounts[domain]
status, answer = post("/update", {"subdomain": account["subdomain"], "txt": os.environ["CERTBOT_VALIDATION"]}, {
    "X-Api-User": account["username"], "X-Api-Key": account["password"], "Content-Type": "application/json"})
if status != 200:
    sys.exit("update: %d %s" % (status, answer))
'''


class CertbotAcmeDns(peers.Certbot):
    def authenticator(self):
        self.storage = os.path.join(self.folder, "acmedns.json")
        hook = self.write("hook", _MANUAL_HOOK)
        return ["--manual", "--preferred-challenges", "dns", "--manual-auth-hook", f"{hook} {self.net.api_url} {self.storage}"]

    def accounts(self):
        with open(self.storage, encoding="utf-8") as file:
            return json.load(file)


_CURL_HOOK = '''#!/bin/sh
post() { # ENDPOINT DOMAIN VALUE
    printf '{"fqdn": "_acme-challenge.%s.", "value": "%s"}' "$2" "$3" |
        curl --fail-with-body -sS -m 30 -u "$API_USER:$API_KEY" -H 'Content-Type: application/json' --data-binary @- "$COUNTERSIGN_API/$1"
}
verb=$1; shift
case $verb in
    deploy_challenge) while [ $# -ge 3 ]; do post present "$1" "$3" || exit 1; shift 3; done ;;
    clean_challenge) while [ $# -ge 3 ]; do post cleanup "$1" "$3" || exit 1; shift 3; done ;;
esac
exit 0
'''


class DehydratedPresent(peers.Dehydrated):
    HOOK = _CURL_HOOK

    def __init__(self, net, account):
        self._account = account
        super().__init__(net)

    def prepare(self):
        self.environment.update({"COUNTERSIGN_API": self.net.api_url, "API_USER": self._account.username, "API_KEY": self._account.password})
        super().prepare()
