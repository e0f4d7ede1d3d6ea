package fingerprint

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/steppe-project/steppe/plugins"
)

// guessedMHz is used for processors that do not tell their speed: low, so that
// nothing is promised that is not there.
const guessedMHz = 1000

// cpuDir is where the kernel describes processors.
const cpuDir = "/sys/devices/system/cpu"

// cpu reads number and speed of the processors.
func (f *Facts) cpu(c Config) part {
	usable, err := usableCores()
	if err != nil {
		return part{err: err}
	}
	mhz, modelName := speed("/proc/cpuinfo")
	total := int64(len(usable)) * mhz
	if c.TotalMHz > 0 {
		total = int64(c.TotalMHz)
		mhz = max(total/int64(len(usable)), 1)
	}
	reservable := usable
	if c.ReservableCores != "" {
		listed, err := ParseList(c.ReservableCores)
		if err != nil {
			return part{err: fmt.Errorf("reservable_cores: %w", err)}
		}
		reservable = slices.DeleteFunc(slices.Clone(usable), func(core uint16) bool { return !slices.Contains(listed, core) })
	}
	r := &f.Resources.Cpu
	r.CpuShares, r.TotalCpuCores, r.ReservableCpuCores, r.CoreMHz = total, uint16(len(usable)), reservable, mhz
	f.Topology = topology(usable, mhz, c.TotalMHz)
	attrs := map[string]string{
		"cpu.numcores": strconv.Itoa(len(usable)), "cpu.frequency": strconv.FormatInt(mhz, 10),
		"cpu.totalcompute": strconv.FormatInt(total, 10), "cpu.usablecompute": strconv.FormatInt(total, 10),
		"cpu.reservablecores": strconv.Itoa(len(reservable)), "numa.node.count": strconv.Itoa(len(f.Topology.NodeIDs)),
	}
	if modelName != "" {
		attrs["cpu.modelname"] = modelName
	}
	return part{attrs: attrs}
}

// usableCores are the cores that this process, and so its tasks, may run on.
func usableCores() ([]uint16, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("read usable processors: %w", err)
	}
	var cores []uint16
	for i := range len(set) * 64 {
		if set.IsSet(i) {
			cores = append(cores, uint16(i))
		}
	}
	if len(cores) == 0 {
		return nil, errors.New("no usable processors")
	}
	return cores, nil
}

// speed is the speed of a core in MHz and the processor's name: the base speed
// where the kernel tells it, which does not change while the machine works.
func speed(cpuinfo string) (mhz int64, name string) {
	data, err := os.ReadFile(cpuinfo)
	if err == nil {
		for line := range strings.Lines(string(data)) {
			key, value, _ := strings.Cut(line, ":")
			value = strings.TrimSpace(value)
			switch strings.TrimSpace(key) {
			case "model name":
				name = value
			case "cpu MHz":
				if v, err := strconv.ParseFloat(value, 64); err == nil && mhz == 0 {
					mhz = int64(v)
				}
			}
			if mhz != 0 && name != "" {
				break
			}
		}
	}
	for _, file := range []string{"base_frequency", "cpuinfo_max_freq"} {
		if khz := readInt(filepath.Join(cpuDir, "cpu0/cpufreq", file)); khz > 0 {
			return khz / 1000, name
		}
	}
	if mhz <= 0 {
		mhz = guessedMHz
	}
	return mhz, name
}

// topology describes the cores to drivers.
func topology(cores []uint16, mhz int64, override int) *plugins.Topology {
	t := &plugins.Topology{OverrideTotalMHz: uint64(override)}
	for _, core := range cores {
		dir := filepath.Join(cpuDir, "cpu"+strconv.Itoa(int(core)))
		node := uint32(0)
		if found, err := filepath.Glob(dir + "/node[0-9]*"); err == nil && len(found) > 0 {
			if n, err := strconv.ParseUint(strings.TrimPrefix(filepath.Base(found[0]), "node"), 10, 32); err == nil {
				node = uint32(n)
			}
		}
		if !slices.Contains(t.NodeIDs, node) {
			t.NodeIDs = append(t.NodeIDs, node)
		}
		t.Cores = append(t.Cores, plugins.Core{
			CoreID: uint32(core), NodeID: node, SocketID: uint32(max(readInt(dir+"/topology/physical_package_id"), 0)),
			BaseSpeed: uint64(mhz),
		})
	}
	slices.Sort(t.NodeIDs)
	t.Distances = distances(t.NodeIDs)
	return t
}

// distances reads how far memory nodes are from each other; plugins need a full
// square.
func distances(nodes []uint32) [][]uint32 {
	const local, remote = 10, 20 // the kernel's own figures where it knows no better
	out := make([][]uint32, len(nodes))
	for i, node := range nodes {
		fields := strings.Fields(readText(fmt.Sprintf("/sys/devices/system/node/node%d/distance", node)))
		for j := range nodes {
			d := uint32(remote)
			if i == j {
				d = local
			}
			if len(fields) == len(nodes) {
				if v, err := strconv.ParseUint(fields[j], 10, 32); err == nil {
					d = uint32(v)
				}
			}
			out[i] = append(out[i], d)
		}
	}
	return out
}

func readText(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// readInt reads a file that holds a number; 0 when it does not.
func readInt(path string) int64 {
	n, err := strconv.ParseInt(readText(path), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// maxListed bounds a list of cores: more than any machine has.
const maxListed = 1 << 13

// ParseList reads a list of numbers and ranges, "0-3,8".
func ParseList(text string) ([]uint16, error) {
	var out []uint16
	for _, item := range strings.Split(text, ",") {
		first, last, isRange := strings.Cut(strings.TrimSpace(item), "-")
		a, err := strconv.ParseUint(first, 10, 16)
		b := a
		if err == nil && isRange {
			b, err = strconv.ParseUint(last, 10, 16)
		}
		if err != nil || b < a || b >= maxListed {
			return nil, fmt.Errorf("%q is not a number below %d or a range of such", item, maxListed)
		}
		for n := a; n <= b; n++ {
			if !slices.Contains(out, uint16(n)) {
				out = append(out, uint16(n))
			}
		}
	}
	slices.Sort(out)
	return out, nil
}
