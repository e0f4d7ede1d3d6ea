package host

import (
	"context"
	"testing"
)

// BenchmarkDecode is on the path of every task's start.
func BenchmarkDecode(b *testing.B) {
	d, err := NewDecoder(taskSpec)
	if err != nil {
		b.Fatal(err)
	}
	config := map[string]any{"command": "/bin/sh", "args": []any{"-c", "echo ${NOMAD_PORT_http}"}, "labels": map[string]any{"a": "${attr.kernel.name}"}}
	vars := map[string]string{"NOMAD_PORT_http": "80", "attr.kernel.name": "linux"}
	for b.Loop() {
		if _, err := d.Decode(config, vars); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLaunch is a plugin's start until it answers, and its stop.
func BenchmarkLaunch(b *testing.B) {
	for b.Loop() {
		p, err := Launch(context.Background(), Options{Name: "stub", Path: Self, Env: []string{modeEnv + "=driver"}})
		if err != nil {
			b.Fatal(err)
		}
		if err := p.Ping(context.Background()); err != nil {
			b.Fatal(err)
		}
		if err := p.Stop(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}
