package api

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/steppe-project/steppe/model"
)

// AutopilotConfiguration is how autopilot looks after the servers. Durations are
// texts such as "200ms".
type AutopilotConfiguration struct {
	CleanupDeadServers      bool
	LastContactThreshold    string
	MaxTrailingLogs         uint64
	MinQuorum               uint
	ServerStabilizationTime string
	EnableRedundancyZones   bool
	DisableUpgradeMigration bool
	EnableCustomUpgrades    bool
	CreateIndex             uint64
	ModifyIndex             uint64
}

const autopilotPath = "/v1/operator/autopilot/configuration"

// AutopilotConfig reads the autopilot configuration.
func (c Cluster) AutopilotConfig(ctx context.Context) (*AutopilotConfiguration, error) {
	var out AutopilotConfiguration
	_, err := c.c.Get(ctx, autopilotPath, nil, &out)
	return &out, err
}

// SetAutopilotConfig sets it, if its ModifyIndex is still conf's; it tells
// whether it did.
func (c Cluster) SetAutopilotConfig(ctx context.Context, conf *AutopilotConfiguration) (bool, error) {
	var updated bool
	_, err := c.c.Put(ctx, autopilotPath, params("cas", strconv.FormatUint(conf.ModifyIndex, 10)), conf, &updated)
	return updated, err
}

// AutopilotHealth is the health of the servers as the leader sees it.
type AutopilotHealth struct {
	Healthy bool
	// FailureTolerance is how many voters may fail; OptimisticFailureTolerance how
	// many servers may, when standbys have time to take their places.
	FailureTolerance           int
	OptimisticFailureTolerance int
	Leader                     string // ids, as in the following
	Voters                     []string
	ReadReplicas               []string // that never vote
	Servers                    []ServerHealth
	RedundancyZones            map[string]ZoneHealth // nil while zones are off
	Upgrade                    *UpgradeHealth        // nil when there is one version only
}

// ServerHealth is one server's part of AutopilotHealth.
type ServerHealth struct {
	ID, Name, Address, SerfStatus, Version, LastContact string
	Leader, Healthy, Voter, NonVoter                    bool
	LastIndex                                           uint64
	RedundancyZone, UpgradeVersion                      string
	Disk                                                string // what ails its disk, in words
}

// ZoneHealth is how a redundancy zone stands.
type ZoneHealth struct {
	Servers, Voters  []string
	FailureTolerance int
}

// UpgradeHealth is how a migration to a newer version stands.
type UpgradeHealth struct {
	Status, TargetVersion                       string
	TargetVersionVoters, TargetVersionNonVoters []string
	OtherVersionVoters, OtherVersionNonVoters   []string
}

// AutopilotHealth reads the health of the servers. Servers that are not all well are
// no error.
func (c Cluster) AutopilotHealth(ctx context.Context) (*AutopilotHealth, error) {
	resp, err := c.c.send(ctx, http.MethodGet, "/v1/operator/autopilot/health", nil, nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	// Not all well is said by the status, and the answer is as always.
	unwell := resp.StatusCode == http.StatusTooManyRequests && strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json")
	if resp.StatusCode >= http.StatusBadRequest && !unwell {
		return nil, answerError(resp)
	}
	var out AutopilotHealth
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		return nil, model.Errorf(model.CodeInternal, "the answer cannot be read: %w", err)
	}
	return &out, nil
}

// Features is how far the cluster has agreed to go, as the server that is asked sees
// it.
type Features struct {
	Active      int
	ActivatedAt int64 // unix ns, 0 at the base level
	Understood  int   // by that server's binary
	Possible    int   // all servers understand it
	Lacking     []string
	HeldBy      []string // servers whose operators want activation by hand
	Levels      []struct {
		Level      int
		Name, Text string
		Active     bool
	}
	Servers []struct {
		ID, Name, Status string
		Understands      int // 0: not known
		Member, Holds    bool
	}
}

// Features reads the cluster's feature level.
func (c Cluster) Features(ctx context.Context) (*Features, error) {
	var out Features
	_, err := c.c.Get(ctx, "/v1/operator/feature", nil, &out)
	return &out, err
}

// ActivateFeature activates a feature level, 0 for the newest that all servers
// understand, and returns which.
func (c Cluster) ActivateFeature(ctx context.Context, level int) (int, error) {
	var body, out struct {
		Level *int `json:",omitempty"`
	}
	if level != 0 {
		body.Level = &level
	}
	if _, err := c.c.Put(ctx, "/v1/operator/feature/activate", nil, body, &out); err != nil || out.Level == nil {
		return 0, err
	}
	return *out.Level, nil
}
