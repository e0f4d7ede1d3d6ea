package wire

import (
	"github.com/steppe-project/steppe/plugins"
	"github.com/steppe-project/steppe/plugins/wire/driver"
)

// cpuFields and memoryFields are the contract's names in the order of the wire's
// numbers, which count from 0 without gaps.
var (
	cpuFields = []string{
		plugins.MeasuredSystemMode, plugins.MeasuredUserMode, plugins.MeasuredTotalTicks,
		plugins.MeasuredThrottledPeriods, plugins.MeasuredThrottledTime, plugins.MeasuredPercent,
	}
	memoryFields = []string{
		plugins.MeasuredRSS, plugins.MeasuredCache, plugins.MeasuredMaxUsage,
		plugins.MeasuredKernelUsage, plugins.MeasuredKernelMaxUsage, plugins.MeasuredUsage, plugins.MeasuredSwap,
	}
)

// ToUsage converts one sample of task id.
func ToUsage(id string, u *plugins.TaskUsage) *driver.TaskStats {
	if u == nil {
		return nil
	}
	return &driver.TaskStats{
		Id:                 id,
		Timestamp:          ToTime(u.Timestamp),
		AggResourceUsage:   toUsage(u.Total),
		ResourceUsageByPid: eachValue(u.ByPID, toUsage),
	}
}

// FromUsage converts one sample.
func FromUsage(p *driver.TaskStats) *plugins.TaskUsage {
	if p == nil {
		return nil
	}
	return &plugins.TaskUsage{
		Timestamp: FromTime(p.Timestamp),
		Total:     fromUsage(p.AggResourceUsage),
		ByPID:     eachValue(p.ResourceUsageByPid, fromUsage),
	}
}

func toUsage(u plugins.Usage) *driver.TaskResourceUsage {
	c, m := u.CPU, u.Memory
	return &driver.TaskResourceUsage{
		Cpu: &driver.CPUUsage{
			SystemMode: c.SystemMode, UserMode: c.UserMode, TotalTicks: c.TotalTicks, Percent: c.Percent,
			ThrottledPeriods: c.ThrottledPeriods, ThrottledTime: c.ThrottledTime,
			MeasuredFields: toFields[driver.CPUUsage_Fields](c.Measured, cpuFields),
		},
		Memory: &driver.MemoryUsage{
			Rss: m.RSS, Cache: m.Cache, Swap: m.Swap, Usage: m.Usage, MaxUsage: m.MaxUsage,
			KernelUsage: m.KernelUsage, KernelMaxUsage: m.KernelMaxUsage,
			MeasuredFields: toFields[driver.MemoryUsage_Fields](m.Measured, memoryFields),
		},
	}
}

func fromUsage(p *driver.TaskResourceUsage) plugins.Usage {
	c, m := p.GetCpu(), p.GetMemory()
	return plugins.Usage{
		CPU: plugins.CPUUsage{
			SystemMode: c.GetSystemMode(), UserMode: c.GetUserMode(), TotalTicks: c.GetTotalTicks(), Percent: c.GetPercent(),
			ThrottledPeriods: c.GetThrottledPeriods(), ThrottledTime: c.GetThrottledTime(),
			Measured: fromFields(c.GetMeasuredFields(), cpuFields),
		},
		Memory: plugins.MemoryUsage{
			RSS: m.GetRss(), Cache: m.GetCache(), Swap: m.GetSwap(), Usage: m.GetUsage(), MaxUsage: m.GetMaxUsage(),
			KernelUsage: m.GetKernelUsage(), KernelMaxUsage: m.GetKernelMaxUsage(),
			Measured: fromFields(m.GetMeasuredFields(), memoryFields),
		},
	}
}

// toFields numbers names; a name that the wire does not have is left out, as no
// reader could know it.
func toFields[E ~int32](names, table []string) []E {
	var out []E
	for _, name := range names {
		for i, known := range table {
			if name == known {
				out = append(out, E(i))
			}
		}
	}
	return out
}

// fromFields names numbers; numbers of a newer protocol are left out.
func fromFields[E ~int32](numbers []E, table []string) []string {
	var out []string
	for _, n := range numbers {
		if n >= 0 && int(n) < len(table) {
			out = append(out, table[n])
		}
	}
	return out
}
