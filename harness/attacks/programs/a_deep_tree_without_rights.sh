# a deep tree without rights
# ends: ok

name=$(printf 'd%.0s' {1..200})
path=$(printf "$name/%.0s" {1..19})
for _ in {1..9}; do mkdir -p "$path" && cd "$path" || break; done 2>/dev/null
chmod 000 . ..
cd /tmp || exit
chmod 000 "$name" .
exit 0
