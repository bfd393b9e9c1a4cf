#compdef kubecdn
# zsh completion for kubecdn; source <(kubecdn completion zsh), or _kubecdn in a folder of $fpath
_kubecdn() {
	local -a lines found
	local kind
	lines=("${(@f)$(${(Q)words[1]/#\~/$HOME} __complete -- "${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
	kind=$lines[-1]
	lines[-1]=()
	case $kind in
	:files) [[ $PREFIX == --*=* ]] && compset -P '*='; _files; return ;;
	:dirs) [[ $PREFIX == --*=* ]] && compset -P '*='; _files -/; return ;;
	esac
	found=("${(@)lines//:/\\:}")
	found=("${(@)found/$'\t'/:}")
	((${#lines})) && _describe '' found
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
	_kubecdn "$@"
else
	compdef _kubecdn kubecdn
fi
