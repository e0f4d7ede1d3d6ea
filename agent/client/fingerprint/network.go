package fingerprint

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/steppe-project/steppe/model"
)

// defaultAlias is the host network that ports are on when a job names none.
const defaultAlias = "default"

// assumedSpeed is for interfaces that do not tell theirs, in MBit/s.
const assumedSpeed = 1000

// network finds the machine's addresses.
func (f *Facts) network(c Config) part {
	interfaces, err := net.Interfaces()
	if err != nil {
		return part{err: fmt.Errorf("list network interfaces: %w", err)}
	}
	name := c.NetworkInterface
	if name == "" {
		name = defaultInterface(c.Loopback)
	}
	attrs := map[string]string{}
	found := false
	for _, i := range interfaces {
		addrs, err := addresses(i)
		if err != nil || len(addrs) == 0 {
			continue // it went away, or is not in use
		}
		n := &model.NodeNetworkResource{Mode: "host", Device: i.Name, MacAddress: i.HardwareAddr.String(), Speed: linkSpeed(i.Name)}
		if i.Name == name {
			found = true
			attrs["unique.network.ip-address"] = addrs[0].Addr().String()
			f.Resources.Networks = append(f.Resources.Networks, &model.NetworkResource{
				Mode: "host", Device: i.Name, IP: addrs[0].Addr().String(), CIDR: single(addrs[0].Addr()), MBits: n.Speed,
			})
			n.Addresses = append(n.Addresses, aliased(defaultAlias, addrs, c.ReservedPorts)...)
		}
		for _, h := range c.HostNetworks {
			matching := matches(h, i.Name, addrs)
			n.Addresses = append(n.Addresses, aliased(h.Name, matching, joinPorts(h.ReservedPorts, c.ReservedPorts))...)
		}
		if len(n.Addresses) > 0 {
			f.Resources.NodeNetworks = append(f.Resources.NodeNetworks, n)
		}
	}
	if !found {
		return part{attrs: attrs, err: fmt.Errorf("network interface %q does not exist or has no address", name)}
	}
	return part{attrs: attrs}
}

// addresses of an interface that can be used by tasks, IPv4 first.
func addresses(i net.Interface) ([]netip.Prefix, error) {
	if i.Flags&net.FlagUp == 0 {
		return nil, nil
	}
	all, err := i.Addrs()
	if err != nil {
		return nil, err
	}
	var four, six []netip.Prefix
	for _, a := range all {
		p, err := netip.ParsePrefix(a.String())
		switch {
		case err != nil || p.Addr().IsLinkLocalUnicast():
		case p.Addr().Unmap().Is4():
			four = append(four, p)
		default:
			six = append(six, p)
		}
	}
	return append(four, six...), nil
}

// aliased are addresses under the name of a host network.
func aliased(alias string, addrs []netip.Prefix, reserved string) []model.NodeNetworkAddress {
	out := make([]model.NodeNetworkAddress, 0, len(addrs))
	for _, p := range addrs {
		family := "ipv6"
		if p.Addr().Unmap().Is4() {
			family = "ipv4"
		}
		out = append(out, model.NodeNetworkAddress{
			Family: family, Alias: alias, Address: p.Addr().String(), ReservedPorts: reserved,
		})
	}
	return out
}

// matches are the addresses of an interface that belong to a host network: by
// the name of the interface (a pattern), by the network's range, or by both.
func matches(h *model.HostNetworkInfo, device string, addrs []netip.Prefix) []netip.Prefix {
	if h.Interface != "" {
		if ok, err := regexp.MatchString("^(?:"+h.Interface+")$", device); err != nil || !ok {
			return nil
		}
	}
	if h.CIDR == "" {
		if h.Interface == "" {
			return nil
		}
		return addrs
	}
	var out []netip.Prefix
	for _, text := range strings.Split(h.CIDR, ",") {
		network, err := netip.ParsePrefix(strings.TrimSpace(text))
		if err != nil {
			continue
		}
		for _, a := range addrs {
			if network.Contains(a.Addr()) {
				out = append(out, a)
			}
		}
	}
	return out
}

func joinPorts(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "," + b
}

func single(a netip.Addr) string { return netip.PrefixFrom(a, a.BitLen()).String() }

// loopback is the name of the loopback interface on Linux.
const loopback = "lo"

// defaultInterface is the interface of the default route.
func defaultInterface(preferLoopback bool) string {
	if preferLoopback {
		return loopback
	}
	// Columns: interface, destination, gateway, flags, ... in hexadecimal.
	for line := range strings.Lines(readText("/proc/net/route") + "\n") {
		if f := strings.Fields(line); len(f) > 7 && f[1] == "00000000" && f[7] == "00000000" {
			return f[0]
		}
	}
	zeros := strings.Repeat("0", 32)
	for line := range strings.Lines(readText("/proc/net/ipv6_route") + "\n") {
		if f := strings.Fields(line); len(f) > 9 && f[0] == zeros && f[1] == "00" && f[9] != loopback {
			return f[9]
		}
	}
	return loopback
}

// linkSpeed in MBit/s.
func linkSpeed(device string) int {
	if filepath.Base(device) != device {
		return assumedSpeed
	}
	if _, err := os.Stat("/sys/class/net/" + device + "/device"); err != nil {
		return assumedSpeed // virtual ones invent a figure or refuse to say
	}
	if speed := readInt("/sys/class/net/" + device + "/speed"); speed > 0 {
		return int(speed)
	}
	return assumedSpeed
}
