
# The names of Deployments, asked of the gateway.
_scalegate_names() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}
    case "${COMP_WORDS[1]} $previous" in
        get\ -*|set\ -*|release\ -*|watch\ -*) ;;
        get\ *|set\ *|release\ *|watch\ *)
            if [[ $current != -* ]]; then
                # shellcheck disable=SC2207 # names have no blanks
                COMPREPLY=($(compgen -W "$("${COMP_WORDS[0]}" __complete -- "${COMP_WORDS[@]:1}" 2>/dev/null)" -- "$current"))
                return
            fi
            ;;
    esac
    _scalegate "$@"
}
complete -F _scalegate_names -o bashdefault -o default scalegate
