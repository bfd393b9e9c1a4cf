# fish completion for kubecdn; kubecdn completion fish | source
function __kubecdn_complete
	set -l words (commandline -opc)
	set -l cur (commandline -ct)
	set -l lines ($words[1] __complete -- $words[2..-1] "$cur" 2>/dev/null)
	test (count $lines) -gt 0; or return
	set -l kind $lines[-1]
	set -e lines[-1]
	set -l flag (string match -r -- '^--[^=]*=' $cur)
	set -l rest (string replace -r -- '^--[^=]*=' '' $cur)
	switch $kind
		case ':files'
			printf '%s\n' "$flag"(__fish_complete_path $rest)
		case ':dirs'
			printf '%s\n' "$flag"(__fish_complete_directories $rest '')
		case '*'
			test (count $lines) -gt 0; and printf '%s\n' $lines
	end
end
complete -c kubecdn -f -a '(__kubecdn_complete)'
