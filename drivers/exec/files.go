package exec

import (
	"strings"

	"github.com/steppe-project/steppe/plugins"
)

// hostsFile gives the task its own name and address.
func hostsFile(hostname, address string) string {
	text := "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\nff02::1 ip6-allnodes\nff02::2 ip6-allrouters\n"
	if address != "" {
		text += address + " " + hostname + "\n"
	}
	return text
}

// resolvFile replaces the machine's name servers.
func resolvFile(d *plugins.DNSConfig) string {
	var b strings.Builder
	for _, s := range d.Servers {
		b.WriteString("nameserver " + s + "\n")
	}
	if len(d.Searches) > 0 {
		b.WriteString("search " + strings.Join(d.Searches, " ") + "\n")
	}
	if len(d.Options) > 0 {
		b.WriteString("options " + strings.Join(d.Options, " ") + "\n")
	}
	return b.String()
}
