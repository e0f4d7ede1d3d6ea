package suite

import (
	"encoding/json"
	"testing"
)

func TestMain(m *testing.M) { Main(m, newFake) }

func encode(p Program) string {
	b, err := json.Marshal(p)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func fakeOptions(plugin map[string]any) Options {
	return Options{
		PluginConfig: plugin,
		Config:       func(p Program) map[string]any { return map[string]any{"program": encode(p)} },
		Exec:         func(p Program) []string { return []string{encode(p)} },
	}
}

func TestFake(t *testing.T) { All(t, newFake, fakeOptions(nil)) }

// TestFakeWithFIFOs is a driver that leaves its logs to the host.
func TestFakeWithFIFOs(t *testing.T) {
	Driver(t, Proxied(newFake), fakeOptions(map[string]any{"rotates": false}))
}
