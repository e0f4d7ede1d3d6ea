package agent

import (
	"net"
	"strconv"
	"strings"

	"github.com/steppe-project/steppe/agent/config"
	"github.com/steppe-project/steppe/model"
)

// endpoint is where one listener binds, and the address others are told.
type endpoint struct {
	bind      string // host:port
	advertise string
}

type endpoints struct{ http, rpc, serf, wan endpoint }

// resolve finds the endpoints of a configuration.
func resolve(cfg *config.Config) (endpoints, error) {
	var e endpoints
	for _, x := range []struct {
		name           string
		into           *endpoint
		bind, announce string
		port           int
	}{
		{"http", &e.http, cfg.Addresses.HTTP, cfg.Advertise.HTTP, cfg.Ports.HTTP},
		{"rpc", &e.rpc, cfg.Addresses.RPC, cfg.Advertise.RPC, cfg.Ports.RPC},
		{"serf", &e.serf, cfg.Addresses.Serf, cfg.Advertise.Serf, cfg.Ports.Serf},
		{"wan", &e.wan, cfg.Addresses.WAN, cfg.Advertise.WAN, max(cfg.Ports.WAN, 0)},
	} {
		host := x.bind
		if host == "" {
			host = cfg.BindAddr
		}
		port := strconv.Itoa(x.port)
		x.into.bind = net.JoinHostPort(host, port)
		announce, err := announced(x.announce, host)
		if err != nil {
			return e, model.Errorf(model.CodeInvalid, "advertise.%s: %w", x.name, err)
		}
		if h, p, err := net.SplitHostPort(announce); err == nil {
			announce, port = h, p
		}
		x.into.advertise = net.JoinHostPort(strings.Trim(announce, "[]"), port)
	}
	return e, nil
}

// announced is the configured address, or the bound one, or for a wildcard the
// machine's own.
func announced(configured, bound string) (string, error) {
	if configured != "" {
		return configured, nil
	}
	if ip := net.ParseIP(bound); ip != nil && !ip.IsUnspecified() {
		return bound, nil
	}
	ip := outwardIP()
	if ip == "" {
		return "", model.Errorf(model.CodeInvalid, "no address of this machine that others could reach was found: set advertise, or bind_addr")
	}
	return ip, nil
}

// outwardIP is the first global address of an interface that is up, IPv4 before IPv6.
func outwardIP() string {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return ""
	}
	six := ""
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		if !ok || !n.IP.IsGlobalUnicast() {
			continue
		}
		if n.IP.To4() != nil {
			return n.IP.String()
		}
		if six == "" {
			six = n.IP.String()
		}
	}
	return six
}

// listen opens a TCP port and says in words what is wrong with it.
func listen(name, addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		hint := ""
		if strings.Contains(err.Error(), "address already in use") {
			hint = ": another process uses the port; stop it, or set ports." + name
		} else if strings.Contains(err.Error(), "cannot assign requested address") {
			hint = ": this machine does not have that address; set bind_addr"
		}
		return nil, model.Errorf(model.CodeInvalid, "cannot listen on %s for %s%s: %w", addr, name, hint, err)
	}
	return l, nil
}

// withPort gives an address the port of a listener that chose its own.
func withPort(addr string, l net.Listener) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || port != "0" {
		return addr
	}
	_, port, err = net.SplitHostPort(l.Addr().String())
	if err != nil {
		return addr
	}
	return net.JoinHostPort(host, port)
}
