# SPDX-License-Identifier: LGPL-2.1-or-later
# Completion for bash: subcommands, and the options that a subcommand's help names. What follows the options of `run`
# and `record` is a command with arguments of its own.
_writewatch()
{
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]} at ended options

    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        COMPREPLY=($(compgen -W "run probe doctor top record plot scan bench help --help --version" -- "$current"))
        return
    fi
    case $command in
    help)
        COMPREPLY=($(compgen -W "run probe doctor top record plot scan bench" -- "$current"))
        return
        ;;
    run | record)
        # The first word that is no option begins the command.
        for ((at = 2; at < COMP_CWORD; at++)); do
            case ${COMP_WORDS[at]} in
            --) at=$((at + 1)) ended=1 && break ;;
            -*) ;;
            =) at=$((at + 1)) ;;
            *) break ;;
            esac
        done
        if ((at < COMP_CWORD)) || { ((at == COMP_CWORD)) && [[ $ended || ($current != -* && $current != = && $previous != =) ]]; }; then
            declare -F _command_offset >/dev/null && _command_offset $at && return
            COMPREPLY=($(compgen -c -f -- "$current"))
            return
        fi
        ;;
    esac
    if [[ $previous == = ]] || [[ $current == = ]]; then
        COMPREPLY=($(compgen -f -- "${current#=}"))
        return
    fi
    if [[ $current == -* ]]; then
        options=$("${COMP_WORDS[0]}" "$command" --help 2>/dev/null | sed -n 's/^  \(-h, \)\{0,1\}\(--[a-z-]*\)\(\[\{0,1\}=\{0,1\}\).*/\2\3/p' | tr -d '[')
        COMPREPLY=($(compgen -W "$options" -- "$current"))
        [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null
        return
    fi
    COMPREPLY=($(compgen -f -- "$current"))
}
complete -o filenames -F _writewatch writewatch
