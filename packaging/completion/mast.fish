# SPDX-License-Identifier: Apache-2.0
# Completion of mast in fish. What there is to offer, mast itself says (`mast --complete WORD...`).
function __mast_offers
    set -l words (commandline -opc)
    set -l word (commandline -ct)
    for offer in ($words[1] --complete $words[2..-1] "$word" 2>/dev/null)
        switch $offer
            case \tfile
                __fish_complete_path (string replace -r '^--[a-z-]+=' '' -- $word)
            case \tdir
                __fish_complete_directories (string replace -r '^--[a-z-]+=' '' -- $word)
            case '*'
                echo $offer
        end
    end
end
complete -c mast -f -a '(__mast_offers)'
