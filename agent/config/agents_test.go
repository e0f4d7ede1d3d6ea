package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// agents are configurations as people have them, with what must come out of each.
var agents = map[string]func(c *Config) map[string][2]any{
	"server.hcl": func(c *Config) map[string][2]any {
		return is("region", c.Region, "eu", "name", c.Name, "server-1", "expect", c.Server.BootstrapExpect, 3,
			"join", fmt.Sprint(c.Server.ServerJoin.RetryJoin), "[10.0.0.12 10.0.0.13:4648]", "max", c.Server.ServerJoin.RetryMax, 3)
	},
	"client.hcl": func(c *Config) map[string][2]any {
		return is("meta", fmt.Sprint(c.Client.MetaMap), "map[rack:r1 slots:4 ssd:true team.owner:platform]", "pool", c.Client.NodePool, "batch",
			"reserved", c.Client.Reserved.Memory, 512, "options", c.Client.OptionsMap["driver.raw_exec.enable"], "1", "servers", len(c.Client.Servers), 2)
	},
	"one_line_blocks.hcl": func(c *Config) map[string][2]any {
		return is("ports", *c.Ports, Ports{5646, 5647, 5648, 4649}, "server", c.Server.Enabled, true, "client", c.Client.Enabled, true,
			"options", c.Client.OptionsMap["driver.allowlist"], "exec,raw_exec", "meta", c.Client.MetaMap["a.b"], "c", "plugin", pluginText(c, "raw_exec"), "map[enabled:true]")
	},
	"quoted_keys.hcl": func(c *Config) map[string][2]any {
		return is("http", c.Ports.HTTP, 5646, "volume", *c.Client.HostVolumes[0], HostVolume{"certs", "/etc/ssl/certs", true},
			"chroot", c.Client.ChrootEnv["/bin/ls"], "/bin/ls")
	},
	"equals_for_blocks.hcl": func(c *Config) map[string][2]any {
		return is("http", c.Ports.HTTP, 5646, "rpc", c.Ports.RPC, DefaultRPCPort, "join", fmt.Sprint(c.Server.ServerJoin.RetryJoin), "[10.0.0.1]",
			"volumes", len(c.Client.HostVolumes), 2, "volume", *c.Client.HostVolumes[1], HostVolume{"logs", "/srv/logs", true},
			"plugin", pluginText(c, "raw_exec"), "map[enabled:true]", "headers", c.HTTPHeaders["Access-Control-Allow-Origin"], "*")
	},
	"blocks_in_parts.hcl": func(c *Config) map[string][2]any {
		return is("pool", c.Client.NodePool, "b", "enabled", c.Client.Enabled, true, "meta", fmt.Sprint(c.Client.MetaMap), "map[rack:r1 row:7 zone:z2]",
			"server", c.Server.Enabled, true, "expect", c.Server.BootstrapExpect, 1)
	},
	"weak_types.hcl": func(c *Config) map[string][2]any {
		return is("debug", c.EnableDebug, true, "leave", c.LeaveOnTerminate, true, "http", c.Ports.HTTP, 5646, "schedulers", *c.Server.NumSchedulers, 2,
			"client", c.Client.Enabled, false, "gc", c.Client.GCDiskUsage, 90, "conns", *c.Limits.HTTPMaxConns, 0, "publish", c.Telemetry.PublishNode, true)
	},
	"tls.hcl": func(c *Config) map[string][2]any {
		return is("tls", *c.TLS, TLS{true, true, "/etc/nomad.d/ca.pem", "/etc/nomad.d/server.pem", "/etc/nomad.d/server-key.pem", true, true})
	},
	"telemetry.hcl": func(c *Config) map[string][2]any {
		return is("telemetry", *c.Telemetry, Telemetry{true, true, true, true, "1s", false})
	},
	"acl_disabled.hcl": func(c *Config) map[string][2]any { return is("acl", c.ACL.Enabled, false, "vault", len(c.Vault), 1) },
	"plugins.hcl": func(c *Config) map[string][2]any {
		return is("names", fmt.Sprint(c.PluginNames()), "[docker raw_exec]", "raw_exec", pluginText(c, "raw_exec"), "map[enabled:true]",
			"docker", strings.Contains(pluginText(c, "docker"), "dangling_containers:[map[dry_run:false enabled:true]]"), true)
	},
	"host_networks.hcl": func(c *Config) map[string][2]any {
		return is("public", *c.Client.HostNetworks[0], HostNetwork{"public", "203.0.113.0/24", "", "22,80"},
			"private", *c.Client.HostNetworks[1], HostNetwork{"private", "", "eth1", ""}, "volume", c.Client.HostVolumes[0].Path, "/opt/mysql/data")
	},
	"comments_and_heredocs.hcl": func(c *Config) map[string][2]any {
		return is("motd", c.Client.MetaMap["motd"], "two\nlines\n", "template", c.Client.MetaMap["template"], `{{ env "X" }} ${attr.kernel.name}`)
	},
	"advertise.hcl": func(c *Config) map[string][2]any {
		return is("http", c.Addresses.HTTP, "127.0.0.1", "advertise", c.Advertise.RPC, "10.0.0.1:4647", "autopilot", *c.Autopilot.CleanupDeadServers, true)
	},
	"hcl2.hcl": func(c *Config) map[string][2]any {
		return is("enabled", c.Server.Enabled, true, "expect", c.Server.BootstrapExpect, 3)
	},
	"full.json": func(c *Config) map[string][2]any {
		return is("region", c.Region, "eu", "meta", fmt.Sprint(c.Client.MetaMap), "map[rack:r1 slots:4]", "volumes", len(c.Client.HostVolumes), 2,
			"expect", c.Server.BootstrapExpect, 1, "plugin", pluginText(c, "raw_exec"), "map[enabled:true]", "reserved", c.Client.Reserved.CPU, 100)
	},
	"lists.json": func(c *Config) map[string][2]any {
		return is("server", c.Server.Enabled, true, "meta", fmt.Sprint(c.Client.MetaMap), "map[rack:r1 row:7]", "volume", c.Client.HostVolumes[0].Path, "/srv/data",
			"names", fmt.Sprint(c.PluginNames()), "[docker raw_exec]", "docker", pluginText(c, "docker"), "map[allow_privileged:true]")
	},
}

// is pairs what came out with what was wanted, by name.
func is(list ...any) map[string][2]any {
	out := map[string][2]any{}
	for i := 0; i < len(list); i += 3 {
		out[list[i].(string)] = [2]any{list[i+1], list[i+2]}
	}
	return out
}

func pluginText(c *Config, name string) string {
	m, err := c.PluginConfig(name)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(m)
}

func TestExistingConfigurations(t *testing.T) {
	files, err := os.ReadDir("testdata/agents")
	if err != nil || len(files) != len(agents) {
		t.Fatalf("%d files, %d expectations: %v", len(files), len(agents), err)
	}
	for _, f := range files {
		t.Run(f.Name(), func(t *testing.T) {
			c := Default()
			if err := Load([]string{filepath.Join("testdata/agents", f.Name())}, c); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Validate(); err != nil {
				t.Fatal(err)
			}
			for what, pair := range agents[f.Name()](c) {
				if pair[0] != pair[1] {
					t.Errorf("%s: %v, want %v", what, pair[0], pair[1])
				}
			}
		})
	}
}

// TestFaultsInOldSyntax: what only HCL 1 can read is answered as well as the rest.
func TestFaultsInOldSyntax(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		want []string
	}{
		"typo in a block":       {"client { enabled = true\n node_clas = \"x\" meta { \"a.b\" = \"c\" } }", []string{"line 2", "node_clas", `Did you mean "node_class"?`}},
		"typo of a block":       {"servr { enabled = true bootstrap_expect = 1 }", []string{"line 1", "servr", `Did you mean "server"?`}},
		"wrong type":            {"ports { http = \"many\" rpc = 1 }", []string{"line 1", "a number is required"}},
		"syntax behind old":     {"client { meta { \"a.b\" = \"c\" } }\nserver {\n enabled true\n}\n", []string{"line 3"}},
		"set twice":             {"name = \"a\"\nname = \"b\" ", []string{"line 2", "name", "only once"}},
		"label forgotten":       {"plugin { config { enabled = true } }", []string{"line 1", "plugin"}},
		"label where none goes": {"server \"x\" { enabled = true }", []string{"line 1", "server"}},
		"value for a block":     {"server = true", []string{"line 1", "server"}},
		"block for a value":     {"name { a = 1 }", []string{"line 1", "name"}},
		"typo in JSON":          {"{\"client\": {\n\"enabeld\": true}}", []string{"line 2", "enabeld", `Did you mean "enabled"?`}},
	} {
		file := "a.hcl"
		if strings.HasPrefix(tc.text, "{") {
			file = "a.json"
		}
		_, err := load(t, map[string]string{file: tc.text})
		for _, want := range append(tc.want, file) {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want %q", name, err, want)
			}
		}
	}
}

func TestAddressesAskTheMachine(t *testing.T) {
	c, err := load(t, map[string]string{"a.hcl": `
		bind_addr = "{{ GetAllInterfaces | include \"name\" \"lo\" | include \"type\" \"IPv4\" | limit 1 | attr \"address\" }}"
		advertise { http = "{{ GetAllInterfaces | include \"name\" \"lo\" | include \"type\" \"IPv4\" | limit 1 | attr \"address\" }}:4646" rpc = "10.0.0.1" }`})
	if err != nil || c.BindAddr != "127.0.0.1" || c.Advertise.HTTP != "127.0.0.1:4646" || c.Advertise.RPC != "10.0.0.1" {
		t.Errorf("%v: %q %+v", err, c.BindAddr, c.Advertise)
	}
	for text, want := range map[string]string{
		`bind_addr = "{{ GetInterfaceIP \"none0\" }}"`:               "a.hcl:1: bind_addr",
		`advertise { http = "{{ GetInterfaceIP \"none0\" }}:4646" }`: "a.hcl:1: advertise.http",
		`bind_addr = "{{ Nonsense }}"`:                               "a.hcl:1: bind_addr",
		"\naddresses { http = \"{{ GetInterfaceIP }\" }":             "a.hcl:2: addresses.http",
	} {
		if _, err := load(t, map[string]string{"a.hcl": text}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
