package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func load(t *testing.T, files map[string]string) (*Config, error) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := Default()
	return c, Load([]string{dir}, c)
}

func TestLaterFilesLieOverEarlierOnes(t *testing.T) {
	c, err := load(t, map[string]string{
		"1.hcl": `
			name = "a"
			data_dir = "/var/lib/steppe"
			client {
				enabled = true
				meta { rack = "r1" }
				options = { "driver.raw_exec.enable" = "1" }
				host_network "lan" { cidr = "10.0.0.0/8" }
			}
			plugin "raw_exec" {
				config { enabled = true }
			}`,
		"2.json": `{"name":"b","client":{"meta":{"zone":"z"}},"ports":{"http":5646},"plugin":{"exec":{"config":{"allow_caps":["all"]}}}}`,
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.Name != "b" || c.Ports.HTTP != 5646 || c.Ports.RPC != DefaultRPCPort || !c.Client.Enabled {
		t.Fatalf("wrong: %+v %+v", c, c.Ports)
	}
	if c.Client.MetaMap["rack"] != "r1" || c.Client.MetaMap["zone"] != "z" || c.Client.OptionsMap["driver.raw_exec.enable"] != "1" {
		t.Fatalf("maps were not joined: %v %v", c.Client.MetaMap, c.Client.OptionsMap)
	}
	raw, err := c.PluginConfig("raw_exec")
	if err != nil || raw["enabled"] != true {
		t.Fatalf("plugin config: %v %v", raw, err)
	}
	exec, err := c.PluginConfig("exec")
	if err != nil || exec["allow_caps"] == nil {
		t.Fatalf("plugin config from JSON: %v %v", exec, err)
	}
	if _, err := c.Validate(); err != nil {
		t.Fatal(err)
	}
}

func TestFaultsNameFileLineAndAttribute(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"unknown attribute": {"nmae = \"x\"\n", "nmae"},
		"wrong type":        {"ports { http = \"many\" }\n", "a number is required"},
		"syntax":            {"client {\n", "a.hcl line 1"},
		"deep":              {"x = " + strings.Repeat("[", 1000), "nested deeper"},
	} {
		_, err := load(t, map[string]string{"a.hcl": tc.text})
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", name, err, tc.want)
		}
	}
	for name, tc := range map[string]struct{ text, want string }{
		"node pool":       {"client {\n enabled = true\n node_pool = \"a.b\"\n}", `a.hcl:3: client.node_pool: "a.b" is not a node pool's name`},
		"duration":        {"client {\n enabled = true\n gc_interval = \"often\"\n}", `a.hcl:3: client.gc_interval: "often" is not a duration`},
		"no role":         {"name = \"x\"", "enable the server role"},
		"acl":             {"acl { enabled = true }", "a.hcl:1: acl.enabled"},
		"key":             {"encrypt = \"short\"", "32 bytes"},
		"wan port":        {"server {\n enabled = true\n}\nports {\n wan = -2\n}", "a.hcl:5: ports.wan"},
		"wan of a client": {"client {\n enabled = true\n}\nserver {\n retry_join_wan = [\"x\"]\n}", "a.hcl:5: server.retry_join_wan: regions federate through their servers"},
		"alone and not":   {"server {\n enabled = true\n retry_join_wan = [\"x\"]\n}\nports {\n wan = -1\n}", "a.hcl:3: server.retry_join_wan: ports.wan is -1"},
		"vault":           {"vault {\n enabled = true\n}", `block "vault" sets enabled`},
		"consul address":  {"consul { address = \"1.2.3.4:8500\" }", `block "consul" sets address`},
	} {
		c, err := load(t, map[string]string{"a.hcl": tc.text})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		_, err = c.Validate()
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", name, err, tc.want)
		}
	}
}

func TestForeignBlocksAreHarmlessWhenDisabled(t *testing.T) {
	c, err := load(t, map[string]string{"a.hcl": "data_dir = \"/x\"\nclient { enabled = true }\nvault {\n enabled = false\n address = \"x\"\n}\nconsul {}\n"})
	if err != nil {
		t.Fatal(err)
	}
	warnings, err := c.Validate()
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(warnings, "\n")
	if !strings.Contains(text, `block "vault" is ignored`) || !strings.Contains(text, `block "consul" is ignored`) {
		t.Fatalf("no warning: %s", text)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("client { enabled = true }", false)
	f.Add(`{"client":{"meta":{"a":"b"}}}`, true)
	f.Add("plugin \"x\" { config { a { b = 1 } } }", false)
	f.Add("ports { http = 1 rpc = \"2\" }\nclient { meta { \"a.b\" = <<X\ny\nX\n } }", false)
	f.Add("plugin = { raw_exec = { config = { enabled = 0x1 } } }", false)
	f.Add(`{"client":[{"meta":[{"a":null}],"host_volume":{"x":{"path":"/"}}}]}`, true)
	f.Fuzz(func(t *testing.T, text string, asJSON bool) {
		name := "f.hcl"
		if asJSON {
			name = "f.json"
		}
		c := Default()
		if err := decode(name, []byte(text), c); err == nil {
			_, _ = c.Validate()
			for _, p := range c.Plugins {
				_, _ = p.Config.Map()
			}
		}
	})
}

// What decides whether a server votes is checked when it starts, not when it joins.
func TestSeats(t *testing.T) {
	for attrs, want := range map[string]string{
		`redundancy_zone = "eu-west_1.a"`: "",
		`upgrade_version = "2.0.0-rc1"`:   "",
		`non_voting_server = true`:        "",
		`feature_activation = "manual"`:   "",
		`redundancy_zone = "zone a"`:      "server.redundancy_zone: \"zone a\" is not a name of a zone",
		`upgrade_version = "next"`:        "server.upgrade_version: \"next\" is not a version such as 1.2.3",
		`feature_activation = "never"`:    "server.feature_activation: \"never\" is not automatic or manual",
		`non_voting_server = true
		 bootstrap_expect = 1`: "server.non_voting_server: a server that founds a cluster alone",
	} {
		c, err := load(t, map[string]string{"a.hcl": "data_dir = \"/var/lib/steppe\"\nserver {\nenabled = true\n" + attrs + "\n}\nautopilot { enable_redundancy_zones = true }"})
		if err == nil {
			_, err = c.Validate()
		}
		if want == "" != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", attrs, err, want)
		}
	}
}
