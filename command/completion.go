package command

import (
	"context"
	"flag"
	"fmt"
	"strings"

	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/model"
)

// completionCommand is "completion".
var completionCommand = &base.Command{
	Name: "completion", Synopsis: "Print a script that completes commands in a shell", Args: "bash|zsh|fish", MinArgs: 1, MaxArgs: 1,
	Offline: true, Example: "source <(steppe completion bash)",
	New: func() base.Runner { return &completion{} },
}

type completion struct{}

func (*completion) Flags(*flag.FlagSet) {}

func (*completion) Run(_ context.Context, o *base.IO, args []string) error {
	switch args[0] {
	case "bash":
		fmt.Fprint(o.Out, bashScript())
	case "zsh":
		fmt.Fprint(o.Out, "autoload -U +X bashcompinit && bashcompinit\n"+bashScript())
	case "fish":
		fmt.Fprint(o.Out, fishScript())
	default:
		return model.Errorf(model.CodeInvalid, "no completion for %q: bash, zsh or fish", args[0])
	}
	return nil
}

// words maps what has been typed to what may follow.
func words() map[string][]string {
	next := map[string]map[string]bool{}
	for _, c := range treeWithout("completion") {
		parts := strings.Fields(c.Name)
		for i := range parts {
			before := strings.Join(parts[:i], " ")
			if next[before] == nil {
				next[before] = map[string]bool{}
			}
			next[before][parts[i]] = true
		}
		next[c.Name] = merge(next[c.Name], c.FlagNames())
	}
	out := map[string][]string{}
	for k, set := range next {
		for w := range set {
			out[k] = append(out[k], w)
		}
	}
	return out
}

func merge(into map[string]bool, names []string) map[string]bool {
	if into == nil {
		into = map[string]bool{}
	}
	for _, n := range names {
		into[n] = true
	}
	return into
}

func treeWithout(name string) []*base.Command {
	var out []*base.Command
	for _, c := range Tree() {
		if c.Name != name {
			out = append(out, c)
		}
	}
	return out
}

func bashScript() string {
	var b strings.Builder
	b.WriteString("# Completion of steppe's commands and options.\n_steppe() {\n  local line=\"${COMP_WORDS[*]:1:COMP_CWORD-1}\" cur=\"${COMP_WORDS[COMP_CWORD]}\" w=\"\"\n  line=\"${line%% -*}\"\n  case \"$line\" in\n")
	for _, k := range sorted(words()) {
		fmt.Fprintf(&b, "    %q) w=%q ;;\n", k.key, strings.Join(k.words, " "))
	}
	b.WriteString("  esac\n  COMPREPLY=($(compgen -W \"$w\" -- \"$cur\"))\n}\ncomplete -o default -F _steppe steppe\n")
	return b.String()
}

func fishScript() string {
	var b strings.Builder
	b.WriteString("# Completion of steppe's commands and options.\nfunction __steppe_line\n  set -l w (commandline -opc)\n  string join ' ' $w[2..-1] | string replace -r ' -.*' ''\nend\n")
	for _, k := range sorted(words()) {
		for _, w := range k.words {
			fmt.Fprintf(&b, "complete -c steppe -n 'test (__steppe_line) = %q' -a %q\n", k.key, w)
		}
	}
	return b.String()
}
