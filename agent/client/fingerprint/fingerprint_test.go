package fingerprint

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/steppe-project/steppe/model"
)

func TestCollect(t *testing.T) {
	f, err := Collect(Config{AllocDir: t.TempDir(), Loopback: true, ReservedPorts: "22",
		HostNetworks: []*model.HostNetworkInfo{{Name: "local", CIDR: "127.0.0.0/8", ReservedPorts: "80"}, {Name: "none", CIDR: "203.0.113.0/24"}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"kernel.name", "kernel.version", "os.name", "cpu.arch", "cpu.numcores", "cpu.frequency", "cpu.totalcompute",
		"memory.totalbytes", "unique.hostname", "unique.storage.bytesfree", "unique.network.ip-address", "nomad.version"} {
		if f.Attributes[name] == "" {
			t.Errorf("no attribute %s", name)
		}
	}
	r := f.Resources
	if r.Cpu.CpuShares < guessedMHz/2 || r.Memory.MemoryMB < 16 || r.Disk.DiskMB <= 0 || len(r.Cpu.ReservableCpuCores) != int(r.Cpu.TotalCpuCores) {
		t.Errorf("resources %+v", r)
	}
	if len(r.NodeNetworks) != 1 || r.NodeNetworks[0].Device != "lo" || r.NodeNetworks[0].Addresses[0].ReservedPorts != "22" {
		t.Fatalf("networks %+v", r.NodeNetworks)
	}
	var local *model.NodeNetworkAddress
	for i, a := range r.NodeNetworks[0].Addresses {
		if a.Alias == "local" {
			local = &r.NodeNetworks[0].Addresses[i]
		}
	}
	if local == nil || local.Address != "127.0.0.1" || local.ReservedPorts != "80,22" {
		t.Errorf("host network %+v", r.NodeNetworks[0].Addresses)
	}
	if n := len(f.Topology.NodeIDs); n == 0 || len(f.Topology.Distances) != n || len(f.Topology.Distances[0]) != n {
		t.Errorf("topology %+v", f.Topology)
	}
}

func TestOverrides(t *testing.T) {
	f, err := Collect(Config{AllocDir: t.TempDir(), Loopback: true, TotalMHz: 12345, MemoryMB: 100, DiskMB: 50, ReservableCores: "0"})
	if err != nil {
		t.Fatal(err)
	}
	if r := f.Resources; r.Cpu.CpuShares != 12345 || r.Memory.MemoryMB != 100 || r.Disk.DiskMB != 50 || len(r.Cpu.ReservableCpuCores) > 1 {
		t.Errorf("%+v", r)
	}
	if _, err := Collect(Config{AllocDir: t.TempDir(), NetworkInterface: "nope0"}); err == nil {
		t.Error("an interface that does not exist was accepted")
	}
}

func TestDistribution(t *testing.T) {
	file := filepath.Join(t.TempDir(), "os-release")
	if err := os.WriteFile(file, []byte("NAME=\"Debian GNU/Linux\"\nID=debian\nVERSION_ID=\"12\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if name, release := distribution("/does/not/exist", file); name != "debian" || release != "12" {
		t.Errorf("%s %s", name, release)
	}
}

func TestSpeed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cpuinfo")
	if err := os.WriteFile(file, []byte("processor\t: 0\nmodel name\t: Fast\ncpu MHz\t\t: 2450.102\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	mhz, name := speed(file)
	if name != "Fast" || mhz < guessedMHz/2 {
		t.Errorf("%d %s", mhz, name)
	}
}

func TestMatches(t *testing.T) {
	addrs := []netip.Prefix{netip.MustParsePrefix("10.1.2.3/16"), netip.MustParsePrefix("fd00::1/64")}
	for _, tc := range []struct {
		h    model.HostNetworkInfo
		want int
	}{
		{model.HostNetworkInfo{}, 0}, {model.HostNetworkInfo{Interface: "eth0"}, 2}, {model.HostNetworkInfo{Interface: "eth.*"}, 2},
		{model.HostNetworkInfo{Interface: "th0"}, 0}, {model.HostNetworkInfo{CIDR: "10.0.0.0/8"}, 1},
		{model.HostNetworkInfo{CIDR: "10.0.0.0/8,fd00::/8", Interface: "eth0"}, 2}, {model.HostNetworkInfo{CIDR: "10.0.0.0/8", Interface: "lo"}, 0},
	} {
		if got := matches(&tc.h, "eth0", addrs); len(got) != tc.want {
			t.Errorf("%+v: %v", tc.h, got)
		}
	}
}

func TestParseList(t *testing.T) {
	if got, err := ParseList("8, 0-2,1"); err != nil || !reflect.DeepEqual(got, []uint16{0, 1, 2, 8}) {
		t.Errorf("%v %v", got, err)
	}
	for _, bad := range []string{"", "x", "3-1", "1-99999", "-1", "1,,2"} {
		if _, err := ParseList(bad); err == nil {
			t.Errorf("%q accepted", bad)
		}
	}
}

func BenchmarkCollect(b *testing.B) {
	dir := b.TempDir()
	for range b.N {
		if _, err := Collect(Config{AllocDir: dir, Loopback: true}); err != nil {
			b.Fatal(err)
		}
	}
}
