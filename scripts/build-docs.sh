#!/usr/bin/env bash
#
# Builds the documentation as a site of static files: docs/, and the pages and
# files outside it that it links to, as mkdocs.yml puts them in order. A link to
# a page or a heading that is not there ends it.
#
#   scripts/build-docs.sh [FOLDER]    (default: build/docs)
#
# FOLDER is made anew. Needs .venv as scripts/setup-python.sh docs makes it.

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly root
target=$(realpath -m "${1:-$root/build/docs}")
readonly target
# In the repository as here; the site has them in the same places.
cd "$root"
readonly published=(README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md LICENSE
    docs deploy/kubernetes examples/README.md examples/notebooks/*.ipynb)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/source"
cp --recursive --parents "${published[@]}" "$work/source"
cp mkdocs.yml "$work"
"${ZENSICAL:-$root/.venv/bin/zensical}" build --strict --config-file "$work/mkdocs.yml"
rm -rf "$target"
mkdir -p "$(dirname "$target")"
mv "$work/site" "$target"
printf 'build-docs: open %s/index.html\n' "$target"
