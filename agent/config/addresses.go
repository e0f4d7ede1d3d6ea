package config

import (
	"strings"

	"github.com/hashicorp/go-sockaddr/template"
)

// resolveTemplates replaces addresses that are written as a question to the
// machine, such as {{ GetInterfaceIP "eth0" }}, by its answer: one configuration
// then fits many machines.
func (c *Config) resolveTemplates() error {
	k := &checker{c: c}
	for path, text := range map[string]*string{
		"bind_addr": &c.BindAddr, "client.network_interface": &c.Client.NetworkInterface,
		"addresses.http": &c.Addresses.HTTP, "addresses.rpc": &c.Addresses.RPC, "addresses.serf": &c.Addresses.Serf,
		"addresses.wan": &c.Addresses.WAN, "advertise.wan": &c.Advertise.WAN,
		"advertise.http": &c.Advertise.HTTP, "advertise.rpc": &c.Advertise.RPC, "advertise.serf": &c.Advertise.Serf,
	} {
		if !strings.Contains(*text, "{{") {
			continue
		}
		answer, err := template.Parse(*text)
		switch answer = strings.TrimSpace(answer); {
		case err != nil:
			k.bad(path, "%v", err)
		case answer == "" || answer[0] == ':':
			k.bad(path, "%q finds no address on this machine", *text)
		case strings.Contains(answer, " "):
			k.bad(path, "%q finds several addresses, %s: attr, limit or join make one of them", *text, answer)
		default:
			*text = answer
		}
	}
	if len(k.problems) > 0 {
		return k.problems
	}
	return nil
}
