# bash completion for tplb, tplb-origin and tplbctl

_tplb()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}

	case $prev in
	-f | --file) COMPREPLY=($(compgen -f -- "$cur")) ;;
	-e | --engine) COMPREPLY=($(compgen -W "pool async" -- "$cur")) ;;
	-w | --workers) COMPREPLY=() ;;
	*) COMPREPLY=($(compgen -W "--file --test --print --graph --engine --workers --version --help" -- "$cur")) ;;
	esac
}

_tplb_origin()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}

	case $prev in
	-r | --root) COMPREPLY=($(compgen -d -- "$cur")) ;;
	-e | --engine) COMPREPLY=($(compgen -W "pool async" -- "$cur")) ;;
	-d | --driver) COMPREPLY=($(compgen -W "auto io_uring epoll" -- "$cur")) ;;
	-k | --keepalive) COMPREPLY=($(compgen -W "on off" -- "$cur")) ;;
	-l | --listen | -w | --workers | -q | --queue) COMPREPLY=() ;;
	*) COMPREPLY=($(compgen -W "--listen --engine --workers --queue --root --driver --keepalive --version --help" -- "$cur")) ;;
	esac
}

# As `tplbctl help` has them. A word in capitals stands for others, | between words means either, and what is in brackets may be left out.
_tplbctl_commands="show status
show servers
show listeners
show pool
show queue
show counters
show config
show connections [N] [parked|queued|busy|closing] [listener=NAME] [client=ADDRESS]
show workers
show events [N]
set server UPSTREAM/SERVER drain|ready|maint|weight [N]
set pool workers N
reload [SECONDS]
upgrade
advise
trace SECONDS
top
help"

# As commands take them, one a line.
_tplbctl_servers()
{
	tplbctl "$@" show servers 2>/dev/null | sed -n -e '2,$s/\( [^ ]*\)\{6\}$//' -e '2,$s/\\\(.\)/\1/g' -e '2,$p'
}

# What a word of the list means: WORD, tplbctl's options.
_tplbctl_word()
{
	local word=${1#[} part

	shift
	word=${word%]}
	if [[ $word == UPSTREAM/SERVER ]]; then
		_tplbctl_servers "$@"
		return
	fi
	for part in ${word//|/ }; do
		part=${part%%[A-Z]*}
		[[ -z $part ]] || echo "$part"
	done
}

# The words that may come next, one a line: WORDS so far, --, tplbctl's options.
_tplbctl_next()
{
	local said=() line word parts i n

	while [[ $1 != -- ]]; do
		said+=("$1")
		shift
	done
	shift
	n=${#said[@]}
	while IFS= read -r line; do
		read -ra parts <<<"$line"
		for ((i = 0; i < n; i++)); do
			word=${parts[i]-}
			[[ -n $word && ($word == "${said[i]}" || $word == *[A-Z\|]*) ]] || continue 2
		done
		[[ -z ${parts[n]-} ]] || _tplbctl_word "${parts[n]}" "$@"
		for ((i = n; i < ${#parts[@]}; i++)); do
			[[ $i -eq n || ${parts[i]} != "["* || ${parts[n]} != "["* ]] || _tplbctl_word "${parts[i]}" "$@"
		done
	done <<<"$_tplbctl_commands" | sort -u
}

# Not by COMP_WORDS: a colon would end a word, and servers have one.
_tplbctl()
{
	local line=${COMP_LINE:0:COMP_POINT} cur= words=() said=() options=() i word

	read -ra words <<<"$line"
	if [[ $line != *[[:space:]] ]]; then
		cur=${words[-1]}
		unset "words[-1]"
	fi
	for ((i = 1; i < ${#words[@]}; i++)); do
		case ${words[i]} in
		-s | --socket)
			if ((i + 1 == ${#words[@]})); then
				COMPREPLY=($(compgen -f -- "$cur"))
				return
			fi
			options=(-s "${words[++i]}")
			;;
		-*) ;;
		*) said+=("${words[i]}") ;;
		esac
	done
	if [[ $cur == -* && ${said[0]-} == top ]]; then
		COMPREPLY=($(compgen -W "--iterations --delay --help" -- "$cur"))
		return
	elif [[ $cur == -* ]]; then
		COMPREPLY=($(compgen -W "--socket --json --version --help" -- "$cur"))
		return
	fi
	COMPREPLY=()
	while IFS= read -r word; do
		[[ $word != "$cur"* ]] || COMPREPLY+=("$(printf %q "$word")")
	done < <(_tplbctl_next "${said[@]}" -- "${options[@]}")
	# What stands before the last colon is no part of the word that bash completes.
	if [[ $cur == *:* ]]; then
		for ((i = 0; i < ${#COMPREPLY[@]}; i++)); do
			COMPREPLY[i]=${COMPREPLY[i]#"${cur%"${cur##*:}"}"}
		done
	fi
}

complete -F _tplb tplb
complete -F _tplb_origin tplb-origin
complete -F _tplbctl tplbctl
