// Each hands the words up to the cursor to `maskline __complete`, and shows what it answers: `word<tab>description`, and
// `:files` where names of files may stand too. None of them needs anything that its shell does not bring along.

/** Of bash 3.2 (macOS) and later. Readline splits words at `=`: they are put together again. */
const bash = `# maskline completion for bash
_maskline_completion() {
  local words=() word value i cut= cur="\${COMP_WORDS[COMP_CWORD]}"
  for ((i = 1; i <= COMP_CWORD; i++)); do
    word="\${COMP_WORDS[i]}"
    if ((\${#words[@]} > 0)) && { [[ $word == '=' ]] || [[ \${words[\${#words[@]} - 1]} == --*= ]]; }; then
      words[\${#words[@]} - 1]+="$word"
    else
      words+=("$word")
    fi
  done
  word="\${words[\${#words[@]} - 1]}"
  [[ $cur == '=' ]] && cur=
  [[ $word == --*=* ]] && cut="\${word%%=*}="
  COMPREPLY=()
  while IFS=$'\\t' read -r value _; do
    if [[ $value == ':files' ]]; then
      compopt -o filenames 2>/dev/null
      while IFS= read -r value; do COMPREPLY+=("$value"); done < <(compgen -f -- "$cur")
    elif [[ -n $value ]]; then
      COMPREPLY+=("\${value#"$cut"}")
    fi
  done < <("\${COMP_WORDS[0]}" __complete -- "\${words[@]}" 2>/dev/null)
}
complete -F _maskline_completion maskline
`;

const zsh = `#compdef maskline
# maskline completion for zsh
_maskline() {
  local -a found
  local line
  for line in "\${(@f)$("\${words[1]}" __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
    case $line in
      ':files') _files ;;
      ?*) found+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}") ;;
    esac
  done
  ((\${#found})) && _describe -t words maskline found
}
if [[ "\${funcstack[1]}" == _maskline ]]; then
  _maskline "$@"
else
  compdef _maskline maskline
fi
`;

const fish = `# maskline completion for fish
function __maskline_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    for line in ($words[1] __complete -- $words[2..-1] "$current" 2>/dev/null)
        if test "$line" = ':files'
            __fish_complete_path "$current"
        else if test -n "$line"
            echo $line
        end
    end
end
complete -c maskline -f -a '(__maskline_complete)'
`;

/** The scripts by shell. */
export const completionScripts = { bash, zsh, fish } as const;
