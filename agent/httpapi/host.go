package httpapi

import (
	"net/http"
	"net/http/pprof"
	"runtime"

	"github.com/shirou/gopsutil/v4/disk"
	"github.com/shirou/gopsutil/v4/host"
	"github.com/shirou/gopsutil/v4/mem"
)

// host describes the machine. Environment variables are left out: they hold secrets.
func (s *Server) host(*request) (any, error) {
	info, err := host.Info()
	if err != nil {
		return nil, err
	}
	memory, err := mem.VirtualMemory()
	if err != nil {
		return nil, err
	}
	disks := map[string]any{}
	if usage, err := disk.Usage("/"); err == nil {
		disks["/"] = map[string]any{"total": usage.Total, "used": usage.Used, "free": usage.Free}
	}
	return map[string]any{
		"AgentID": s.cfg.Agent.Self()["member"],
		"HostData": map[string]any{
			"OS": info.Platform + " " + info.PlatformVersion, "Hostname": info.Hostname, "Kernel": info.KernelVersion,
			"CPUs": runtime.NumCPU(), "Memory": memory.Total, "Uptime": info.Uptime, "Disk": disks,
		},
	}, nil
}

// debugRoutes serves Go's profiles when the configuration allows it.
func (s *Server) debugRoutes(mux *http.ServeMux) {
	if !s.cfg.Debug {
		return
	}
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
}
