# bash completion for kubecdn; source <(kubecdn completion bash)
_kubecdn() {
	local words=() line=$COMP_LINE cur w i lines kind
	for ((i = 0; i <= COMP_CWORD; i++)); do
		w=${COMP_WORDS[i]}
		if ((i > 1)) && { [[ -n $w && $line == "$w"* ]] || [[ -z $w && -z $line ]]; }; then
			words[${#words[@]} - 1]+=$w
		else
			words+=("$w")
		fi
		line=${line#*"$w"}
	done
	cur=${COMP_WORDS[COMP_CWORD]}
	[[ $cur == [=:] ]] && cur=
	mapfile -t lines < <("${words[0]/#\~/$HOME}" __complete -- "${words[@]:1}" 2>/dev/null)
	((${#lines[@]})) || return
	kind=${lines[-1]}
	unset 'lines[-1]'
	w=${words[-1]}
	COMPREPLY=()
	for i in "${lines[@]}"; do
		i=${i%%$'\t'*}
		COMPREPLY+=("${i#"${w%"$cur"}"}")
	done
	case $kind in
	:files) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
	:dirs) mapfile -t COMPREPLY < <(compgen -d -- "$cur") ;;
	*) return ;;
	esac
	compopt -o filenames 2>/dev/null
}
complete -F _kubecdn kubecdn
