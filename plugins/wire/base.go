package wire

import (
	"github.com/steppe-project/steppe/plugins"
	"github.com/steppe-project/steppe/plugins/wire/base"
)

// ToInfo converts a plugin's self-description.
func ToInfo(i *plugins.Info) *base.PluginInfoResponse {
	if i == nil {
		return nil
	}
	return &base.PluginInfoResponse{
		Type:              base.PluginType(i.Type),
		PluginApiVersions: i.APIVersions,
		PluginVersion:     i.Version,
		Name:              i.Name,
	}
}

// FromInfo converts a plugin's self-description.
func FromInfo(p *base.PluginInfoResponse) *plugins.Info {
	if p == nil {
		return nil
	}
	return &plugins.Info{
		Type:        plugins.PluginType(p.Type),
		Name:        p.Name,
		Version:     p.PluginVersion,
		APIVersions: filled(p.PluginApiVersions),
	}
}

// ToConfig converts what SetConfig carries.
func ToConfig(c *plugins.Config) *base.SetConfigRequest {
	if c == nil {
		return nil
	}
	out := &base.SetConfigRequest{MsgpackConfig: c.Msgpack, PluginApiVersion: c.APIVersion}
	if c.MinPort != 0 || c.MaxPort != 0 || c.Topology != nil {
		out.NomadConfig = &base.NomadConfig{Driver: &base.NomadDriverConfig{
			ClientMinPort: uint32Of(c.MinPort),
			ClientMaxPort: uint32Of(c.MaxPort),
			Topology:      toTopology(c.Topology),
		}}
	}
	return out
}

// FromConfig converts what SetConfig carries.
func FromConfig(p *base.SetConfigRequest) *plugins.Config {
	if p == nil {
		return nil
	}
	d := p.GetNomadConfig().GetDriver()
	return &plugins.Config{
		Msgpack:    filled(p.MsgpackConfig),
		APIVersion: p.PluginApiVersion,
		MinPort:    int(d.GetClientMinPort()),
		MaxPort:    int(d.GetClientMaxPort()),
		Topology:   fromTopology(d.GetTopology()),
	}
}

// toTopology always sends a matrix that is square, as plugins index into it
// without looking: missing distances become 0.
func toTopology(t *plugins.Topology) *base.ClientTopology {
	if t == nil {
		return nil
	}
	n := len(t.Distances)
	slit := &base.ClientTopologySLIT{Dimension: uint32Of(n), Values: make([]uint32, n*n)}
	for i, row := range t.Distances {
		copy(slit.Values[i*n:(i+1)*n], row)
	}
	return &base.ClientTopology{
		NodeIds:                t.NodeIDs,
		Distances:              slit,
		Cores:                  each(t.Cores, toCore),
		OverrideTotalCompute:   t.OverrideTotalMHz,
		OverrideWitholdCompute: t.WithheldMHz,
	}
}

func fromTopology(p *base.ClientTopology) *plugins.Topology {
	if p == nil {
		return nil
	}
	return &plugins.Topology{
		NodeIDs:          filled(p.NodeIds),
		Distances:        fromDistances(p.GetDistances()),
		Cores:            each(p.Cores, fromCore),
		OverrideTotalMHz: p.OverrideTotalCompute,
		WithheldMHz:      p.OverrideWitholdCompute,
	}
}

// fromDistances gives nil for a matrix whose size is not what it says.
func fromDistances(p *base.ClientTopologySLIT) [][]uint32 {
	values := p.GetValues()
	n := uint64(p.GetDimension())
	if n == 0 || uint64(len(values)) != n*n {
		return nil
	}
	rows := make([][]uint32, n)
	for i := range rows {
		rows[i] = values[uint64(i)*n : (uint64(i)+1)*n : (uint64(i)+1)*n]
	}
	return rows
}

func toCore(c plugins.Core) *base.ClientTopologyCore {
	out := &base.ClientTopologyCore{
		SocketId: c.SocketID, NodeId: c.NodeID, CoreId: c.CoreID,
		Disable:   c.Disabled,
		BaseSpeed: c.BaseSpeed, MaxSpeed: c.MaxSpeed, GuessSpeed: c.GuessedSpeed,
	}
	if c.Efficiency {
		out.CoreGrade = base.CoreGrade_Efficiency
	}
	return out
}

func fromCore(p *base.ClientTopologyCore) plugins.Core {
	return plugins.Core{
		SocketID: p.GetSocketId(), NodeID: p.GetNodeId(), CoreID: p.GetCoreId(),
		Efficiency: p.GetCoreGrade() == base.CoreGrade_Efficiency,
		Disabled:   p.GetDisable(),
		BaseSpeed:  p.GetBaseSpeed(), MaxSpeed: p.GetMaxSpeed(), GuessedSpeed: p.GetGuessSpeed(),
	}
}
