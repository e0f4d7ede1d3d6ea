package lease

import "github.com/steppe-project/steppe/model"

// Defaults of model.MassLossConfig, for the brake on replacing what nodes ran
// that vanish together.
const (
	BrakeThreshold = 0.3
	BrakeMinNodes  = 3
	// BrakeRate is six nodes a minute: one in ten seconds.
	BrakeRate = 6
)

// BrakeSettings are m with its defaults.
func BrakeSettings(m model.MassLossConfig) model.MassLossConfig {
	if m.Threshold <= 0 {
		m.Threshold = BrakeThreshold
	}
	if m.MinNodes <= 0 {
		m.MinNodes = BrakeMinNodes
	}
	if m.Rate == 0 {
		m.Rate = BrakeRate
	}
	return m
}

// Together tells whether so many of all nodes are enough to put the brake on. m
// has its defaults.
func Together(m model.MassLossConfig, vanished, all int) bool {
	return vanished >= m.MinNodes && float64(vanished) >= m.Threshold*float64(all)
}
