package agent

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/steppe-project/steppe/agent/consensus"
	"github.com/steppe-project/steppe/agent/consensus/space"
)

// diskStats are the disk's figures in /v1/agent/self.
func diskStats(st space.Status) map[string]string {
	return map[string]string{
		"level": st.Level.String(), "free_bytes": strconv.FormatInt(st.FreeBytes, 10),
		"reserve_bytes": strconv.FormatInt(st.ReserveBytes, 10), "held_bytes": strconv.FormatInt(st.HeldBytes, 10),
		"needed_bytes": strconv.FormatInt(st.NeededBytes, 10),
	}
}

// diskFigures are the metrics of a server's disk.
func diskFigures(h *consensus.Host) []prometheus.Collector {
	gauge := func(name, help string, read func(space.Status) int64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(read(h.Space())) })
	}
	return []prometheus.Collector{
		gauge("steppe_disk_level", "Room in the server's data directory: 0 ample, 1 short (no new work), 2 scarce.",
			func(st space.Status) int64 { return int64(st.Level) }),
		gauge("steppe_disk_free_bytes", "Bytes free for the server's data directory.", func(st space.Status) int64 { return st.FreeBytes }),
		gauge("steppe_disk_reserve_bytes", "Bytes of the reserve that is given up when the disk is full.", func(st space.Status) int64 { return st.HeldBytes }),
	}
}
