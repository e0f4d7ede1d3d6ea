package hook

import (
	"slices"
	"strings"
)

// denied are variables of the agent that no task inherits, besides all that
// begin with STEPPE_ or NOMAD_: they are credentials.
var denied = []string{
	"CONSUL_TOKEN", "CONSUL_HTTP_TOKEN", "VAULT_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
	"AWS_SESSION_TOKEN", "GOOGLE_APPLICATION_CREDENTIALS", "INVOCATION_ID", "JOURNAL_STREAM", "NOTIFY_SOCKET",
}

// HostEnv picks from environ ("NAME=value") what tasks inherit. More names of
// deny are left out as well.
func HostEnv(environ []string, deny []string) map[string]string {
	out := make(map[string]string, len(environ))
	for _, kv := range environ {
		name, value, ok := strings.Cut(kv, "=")
		if !ok || name == "" || strings.HasPrefix(name, "STEPPE_") || strings.HasPrefix(name, "NOMAD_") ||
			slices.Contains(denied, name) || slices.Contains(deny, name) {
			continue
		}
		out[name] = value
	}
	return out
}
