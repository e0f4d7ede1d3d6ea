package command

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"

	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/model"
)

// completion is "completion".
var completion = &base.Command{
	Name: "completion", Synopsis: "Print a script that completes commands and options in a shell", Args: "bash|zsh|fish", MinArgs: 1, MaxArgs: 1,
	Offline: true,
	Long:    "The script is for the shell's start-up file, or to be sourced. Where no command or option fits, names of files are completed.",
	Example: "source <(steppe completion bash)\nsource <(steppe completion zsh)\nsteppe completion fish | source",
	New:     func() base.Runner { return &completionCmd{} },
}

type completionCmd struct{}

func (*completionCmd) Flags(*flag.FlagSet) {}

func (*completionCmd) Run(_ context.Context, o *base.IO, args []string) error {
	next := following(slices.DeleteFunc(Tree(), func(c *base.Command) bool { return c == completion }))
	next[""] = append(next[""], "completion", "help")
	next["completion"] = []string{"bash", "fish", "zsh"}
	switch args[0] {
	case "bash":
		fmt.Fprint(o.Out, bashScript(next))
	case "zsh":
		fmt.Fprint(o.Out, "autoload -U +X bashcompinit && bashcompinit\n"+bashScript(next))
	case "fish":
		fmt.Fprint(o.Out, fishScript(next))
	default:
		return model.Errorf(model.CodeInvalid, "no completion for %q: bash, zsh or fish", args[0])
	}
	return nil
}

// following maps the words of a command line to what may come next: words of
// commands, then options.
func following(tree []*base.Command) map[string][]string {
	next := map[string][]string{}
	for _, c := range tree {
		words := strings.Fields(c.Name)
		for i, w := range words {
			before := strings.Join(words[:i], " ")
			if !slices.Contains(next[before], w) {
				next[before] = append(next[before], w)
			}
		}
		next[c.Name] = append(next[c.Name], c.FlagNames()...)
	}
	return next
}

// bashScript looks for the longest beginning of the line that it knows; options
// and arguments in between do not matter.
func bashScript(next map[string][]string) string {
	var b strings.Builder
	b.WriteString(`# Completion of steppe's commands and options.
_steppe_words() {
  case "$1" in
`)
	for _, k := range base.Keys(next) {
		fmt.Fprintf(&b, "    '%s') printf '%%s' '%s' ;;\n", k, strings.Join(next[k], " "))
	}
	b.WriteString(`    *) return 1 ;;
  esac
}
_steppe() {
  local cur="${COMP_WORDS[COMP_CWORD]}" line="${COMP_WORDS[*]:1:COMP_CWORD-1}" words=""
  until words="$(_steppe_words "$line")"; do
    case "$line" in
      *" "*) line="${line% *}" ;;
      *) return 0 ;;
    esac
  done
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _steppe steppe
`)
	return b.String()
}

func fishScript(next map[string][]string) string {
	var b strings.Builder
	b.WriteString(`# Completion of steppe's commands and options.
function __steppe_after
  set -l words (commandline -opc)
  set -l line (string join ' ' -- $words[2..-1])
  set line (string replace -r ' -.*' '' -- "$line")
  test "$line" = "$argv[1]"
end
`)
	for _, k := range base.Keys(next) {
		fmt.Fprintf(&b, "complete -c steppe -n \"__steppe_after '%s'\" -a '%s'\n", k, strings.Join(next[k], " "))
	}
	return b.String()
}
