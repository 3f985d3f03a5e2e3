#!/bin/bash
# The documented command lines, with nothing but curl, openssl and base64; python3 only picks
# members out of JSON. The ciphertext is sent as `base64` prints it, wrapped.
set -u
here=$(dirname "$0")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

main() {
  check 'API client' ldap "$SITE_LDAP_SOURCE" u1 "$SITE_API_ID" "$SITE_API_SECRET"
  check 'API client' postgresql "$SITE_POSTGRESQL_SOURCE" u1 "$SITE_API_ID" "$SITE_API_SECRET"
  check 'API client' identitynow IdentityNow u1 "$SITE_API_ID" "$SITE_API_SECRET"
  local token id secret
  token=$("$SITE_BINARY" token create --name flow --identity u2 --json)
  id=$(member clientId <<<"$token") secret=$(member clientSecret <<<"$token")
  check 'personal access token' ldap "$SITE_LDAP_SOURCE" u2 "$id" "$secret"
  check 'personal access token' postgresql "$SITE_POSTGRESQL_SOURCE" u2 "$id" "$secret"
  check 'personal access token' identitynow IdentityNow u2 "$id" "$secret"
}

# check CALLER SYSTEM SOURCE USER ID SECRET
check() {
  local name="$1, $2" said
  if said=$(change_twice "$2" "$3" "$4" "$5" "$6" 2>&1); then
    echo "ok $name"
  else
    echo "not ok $name: $(tr '\n' ' ' <<<"$said")"
  fi
}

# Twice, so that the old password is known, and known to be refused afterwards.
change_twice() {
  local system=$1 source=$2 user=$3 first second
  first="aA1-$(openssl rand -hex 10)" second="aA1-$(openssl rand -hex 10)"
  change "$source" "$user" "$first" "$4" "$5" || return 1
  signs_in "$system" "$user" "$first" || { echo 'the new password does not sign in'; return 1; }
  change "$source" "$user" "$second" "$4" "$5" || return 1
  signs_in "$system" "$user" "$second" || { echo 'the second new password does not sign in'; return 1; }
  signs_in "$system" "$user" "$first" && { echo 'the old password still signs in'; return 1; }
  [ $status -eq 1 ] || { echo "$system cannot be asked"; return 1; }
}

# change SOURCE USER PASSWORD ID SECRET
change() {
  local token info request state
  token=$(curl -sS -X POST "$SITE_BASE_URL/oauth/token?grant_type=client_credentials&client_id=$4&client_secret=$5" |
    member access_token)
  info=$(call "$token" /v3/query-password-info "{\"userName\":\"$2\",\"sourceName\":\"$1\"}")
  { echo '-----BEGIN PUBLIC KEY-----'; member publicKey <<<"$info"; echo '-----END PUBLIC KEY-----'; } >"$work/public_key.pem"
  request=$(
    echo -n "$3" | openssl pkeyutl -encrypt -inkey "$work/public_key.pem" -pubin | base64 |
      body "$(member identityId <<<"$info")" "$(member sourceId <<<"$info")" \
        "$(member publicKeyId <<<"$info")" "$(member accounts 0 accountId <<<"$info")"
  )
  request=$(call "$token" /v3/set-password "$request" | member requestId)
  [ -n "$request" ] || { echo "no request id; query-password-info said $info"; return 1; }
  for _ in $(seq 600); do
    state=$(curl -sS -H "Authorization: Bearer $token" "$SITE_BASE_URL/v3/password-change-status/$request")
    case $(member state <<<"$state") in
    FINISHED) return 0 ;;
    IN_PROGRESS) sleep 0.1 ;;
    *) break ;;
    esac
  done
  echo "the change ended as $state"
  return 1
}

# call TOKEN PATH BODY
call() {
  curl -sS -H "Authorization: Bearer $1" -H 'Content-Type: application/json' -d "$3" "$SITE_BASE_URL$2"
}

# The request of set-password; the ciphertext comes on standard input and keeps its line breaks.
body() {
  python3 -c 'import json, sys
names = ["identityId", "sourceId", "publicKeyId", "accountId"]
print(json.dumps(dict(zip(names, sys.argv[1:]), encryptedPassword=sys.stdin.read())))' "$@"
}

# One member of the JSON on standard input, by its path.
member() {
  python3 -c 'import json, sys
value = json.load(sys.stdin)
for step in sys.argv[1:]:
    value = value[int(step) if isinstance(value, list) else step]
print(value)' "$@"
}

# Keeps the answer in $status, for "no" and "cannot say" are two things.
signs_in() {
  printf %s "$3" | bash "$here/../sign-in.sh" "$1" "$2"
  status=$?
  return $status
}

main
