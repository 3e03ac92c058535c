# SPDX-License-Identifier: Apache-2.0
# Completion of mast in bash. What there is to offer, mast itself says (`mast --complete WORD...`).
_mast() {
    local line=${COMP_LINE:0:COMP_POINT} words word cut offer
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    word=${words[-1]}
    # readline replaces what stands behind the last of these.
    cut=${word%"${word##*[=:]}"}
    COMPREPLY=()
    while IFS= read -r offer; do
        case $offer in
        $'\tfile' | $'\tdir')
            [[ $cut == http*: ]] && continue
            compopt -o filenames 2>/dev/null
            while IFS= read -r offer; do COMPREPLY+=("$offer"); done \
                < <([[ $offer == $'\tdir' ]] && compgen -d -- "${word#"$cut"}" || compgen -f -- "${word#"$cut"}")
            ;;
        *) offer=${offer%%$'\t'*} && COMPREPLY+=("${offer#"$cut"}") ;;
        esac
    done < <("$1" --complete "${words[@]:1}" 2>/dev/null)
}
complete -F _mast mast
