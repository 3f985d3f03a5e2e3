#!/bin/bash
# sign-in.sh SYSTEM USER, the password on standard input: does the real system let the user in?
# Exits 0 if it does, 1 if it does not, 2 if it cannot be asked.
set -u
system=$1 user=$2
# Command substitution would lose a newline at the end; no password here has one.
password=$(cat)
case $system in
ldap)
  LDAPTLS_CACERT=$SITE_CA ldapwhoami -x -H "$SITE_LDAP_URL" -D "uid=$user,$SITE_LDAP_BASE" \
    -y <(printf %s "$password") >/dev/null 2>&1
  case $? in
  0) exit 0 ;;
  49) exit 1 ;;
  esac
  ;;
postgresql)
  said=$(PGPASSWORD=$password psql -X -w -A -t -c 'select 1' "host=127.0.0.1 port=$SITE_POSTGRESQL_PORT \
    dbname=postgres user=$user sslmode=verify-full sslrootcert=$SITE_CA channel_binding=require" 2>&1)
  case $? in
  0) exit 0 ;;
  esac
  case $said in
  *'password authentication failed'*) exit 1 ;;
  esac
  echo "$said" >&2
  ;;
identitynow)
  printf %s "$password" | "$SITE_BINARY" sign-in "$user" >/dev/null
  status=$?
  [ $status -le 1 ] && exit $status
  ;;
esac
exit 2
