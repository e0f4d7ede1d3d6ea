package agent

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/steppe-project/steppe/agent/config"
	"github.com/steppe-project/steppe/agent/consensus"
	"github.com/steppe-project/steppe/agent/consensus/datadir"
	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
)

// Recover makes the stopped server of a configuration the only one of its cluster:
// see consensus.Recover. addr is the address by which others will reach it.
func Recover(cfg *config.Config, logs *Logs, write bool) (r *consensus.Recovery, id, addr string, err error) {
	if !cfg.Server.Enabled {
		return nil, "", "", model.Errorf(model.CodeInvalid, "this configuration is of no server: give that of a surviving server, as its agent is started with")
	}
	if _, err := os.Stat(filepath.Join(cfg.DataDir, "server", "raft")); err != nil {
		return nil, "", "", model.Errorf(model.CodeInvalid, "no server has run in the data directory %s: %w", cfg.DataDir, err)
	}
	ends, err := resolve(cfg)
	if err != nil {
		return nil, "", "", err
	}
	dir, err := datadir.Open(cfg.DataDir)
	if err != nil {
		return nil, "", "", err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	raft, err := dir.Sub("server", "raft")
	if err != nil {
		return nil, "", "", err
	}
	r, err = consensus.Recover(consensus.Config{
		ID: dir.ID(), Addr: ends.rpc.advertise, Dir: raft, Machine: fsm.NewAt(state.New(), understood()), Logger: logs.Logger(),
	}, write)
	return r, dir.ID(), ends.rpc.advertise, err
}
