package tasks

import (
	"maps"
	"path"
	"slices"

	"github.com/steppe-project/steppe/plugins"
)

// Env is the environment of a task as KEY=VALUE, sorted, without the variables
// that match a denied pattern (as in a shell: "AWS_*").
func Env(c *plugins.TaskConfig, denied ...string) []string {
	all := map[string]string{}
	maps.Copy(all, c.Env)
	maps.Copy(all, c.DeviceEnv)
	out := make([]string, 0, len(all))
	for _, k := range slices.Sorted(maps.Keys(all)) {
		if !matches(k, denied) {
			out = append(out, k+"="+all[k])
		}
	}
	return out
}

func matches(key string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := path.Match(p, key)
		return ok || err != nil && p == key
	})
}

// Getenv finds a variable in a list of KEY=VALUE.
func Getenv(env []string, key string) (string, bool) {
	for _, kv := range env {
		if len(kv) > len(key) && kv[len(key)] == '=' && kv[:len(key)] == key {
			return kv[len(key)+1:], true
		}
	}
	return "", false
}
