package config

import (
	"fmt"
	"reflect"
	"sort"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// Foreign is a block of a product or edition that Steppe does without. It is
// accepted with a warning when empty or disabled and refused when it enables
// something.
type Foreign struct {
	Body hcl.Body `hcl:",remain"`
}

// instead says, by block, what to use in its place.
var instead = map[string]string{
	"vault":     "Steppe keeps secrets itself; remove the block",
	"consul":    "Steppe has its own service catalogue and gossip; use retry_join, and remove the block",
	"sentinel":  "there is no replacement; remove the block",
	"audit":     "use the event stream; remove the block",
	"keyring":   "keys are kept in the replicated state; remove the block",
	"reporting": "Steppe reports nothing to anybody; remove the block",
	"users":     "dynamic users are not supported by this version; remove the block",
	"rpc":       "RPC needs no tuning; remove the block",
	"eventlog":  "use log_file; remove the block",
}

func (c *Config) foreign() map[string][]*Foreign {
	return map[string][]*Foreign{
		"vault": c.Vault, "consul": c.Consul, "sentinel": c.Sentinel, "audit": c.Audit, "keyring": c.Keyring,
		"reporting": c.Reporting, "users": c.Users, "rpc": c.RPC, "eventlog": c.Eventlog,
	}
}

// checkForeign returns a warning for each harmless foreign block and a problem
// for each that wants something.
func (c *Config) checkForeign() (warnings []string, problems []Problem) {
	blocks := c.foreign()
	names := make([]string, 0, len(blocks))
	for n := range blocks {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, name := range names {
		for _, b := range blocks[name] {
			place := b.Body.MissingItemRange()
			if why := wants(b.Body); why != "" {
				problems = append(problems, Problem{
					Path: name, Range: &place, Message: fmt.Sprintf("block %q sets %s: Steppe does without this: %s", name, why, instead[name]),
				})
				continue
			}
			warnings = append(warnings, fmt.Sprintf("%s:%d: block %q is ignored: it is empty or disabled", place.Filename, place.Start.Line, name))
		}
	}
	return warnings, problems
}

// wants names what a foreign block enables: nothing if it is empty or says
// enabled = false.
func wants(body hcl.Body) string {
	attrs, _ := body.JustAttributes()
	if a, ok := attrs["enabled"]; ok {
		v, diags := a.Expr.Value(nil)
		v, err := convert.Convert(weak(v, reflect.TypeFor[bool]()), cty.Bool)
		if !diags.HasErrors() && err == nil && v.IsKnown() && !v.IsNull() && v.False() {
			return ""
		}
		return "enabled"
	}
	names := make([]string, 0, len(attrs))
	for n := range attrs {
		names = append(names, n)
	}
	sort.Strings(names)
	if len(names) > 0 {
		return names[0]
	}
	return ""
}
