#!/bin/sh
# Lets Dagster's commands find their home without `export`: they read .env from the working directory.
# A DAGSTER_HOME that somebody wrote there stays as it is; the one written here follows the checkout when it is moved.
set -eu
umask 077 # keys of model providers are kept in the same file
mark='# Kept up to date by make setup; remove this line to keep a value of your own.'
line="DAGSTER_HOME='$PWD/dagster_home'"

touch .env
if grep -qxF "$mark" .env; then
  awk -v mark="$mark" -v line="$line" '
    ours { ours = 0; print line; next }
    $0 == mark { ours = 1 }
    { print }
  ' .env > .env.new
  if cmp -s .env .env.new; then rm .env.new; else cat .env.new > .env && rm .env.new; fi
elif ! grep -Eq '^[[:space:]]*(export[[:space:]]+)?DAGSTER_HOME=' .env; then
  if [ -n "$(tail -c 1 .env)" ]; then echo >> .env; fi
  printf '%s\n%s\n' "$mark" "$line" >> .env
fi
