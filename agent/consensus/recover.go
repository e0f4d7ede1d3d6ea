package consensus

import (
	"errors"

	"github.com/hashicorp/raft"

	"github.com/steppe-project/steppe/model"
)

// Recovery is what a server has to go on with alone.
type Recovery struct {
	// Servers were the cluster's, this one among them.
	Servers []Server
	// Index and Term are of the newest entry in the log or snapshot. What the lost
	// servers had beyond it is lost.
	Index, Term uint64
	// Voter tells whether this server had a vote. One that had none may be behind.
	Voter bool
}

// Recover makes a stopped server the only one of its cluster, after so many of the
// others were lost for good that no leader can be elected. It keeps all that this
// server has, entries that were not known to be committed included: one of them may
// have been acknowledged. With write false it only tells what there is.
//
// The lost servers must never come back with their data: they would be a second
// cluster of the same name.
func Recover(cfg Config, write bool) (r *Recovery, err error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	logger := newLogger(cfg.Logger)
	var broken error
	fatal := func(err error) { broken = errors.Join(broken, err) }
	s, err := openStore(&cfg, logger, fatal)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	r, err = s.remains(cfg.ID)
	if err != nil || !write {
		return r, err
	}
	rc := raft.DefaultConfig()
	rc.LocalID, rc.Logger = raft.ServerID(cfg.ID), logger
	_, transport := raft.NewInmemTransport(raft.ServerAddress(cfg.Addr)) // names this server, carries nothing
	alone := raft.Configuration{Servers: []raft.Server{{ID: rc.LocalID, Address: raft.ServerAddress(cfg.Addr), Suffrage: raft.Voter}}}
	machine := &adapter{machine: cfg.Machine, fatal: fatal, noted: func(int64, uint64) {}}
	if err := raft.RecoverCluster(rc, machine, s.logs, s.stable, s.snapshots, transport, alone); err != nil || broken != nil {
		return nil, model.Errorf(model.CodeInvalid, "cannot recover from the data in %s: %w", cfg.Dir, errors.Join(err, broken))
	}
	return r, nil
}

// remains tells what a stopped server with an id has.
func (s *store) remains(id string) (*Recovery, error) {
	conf, err := s.configuration()
	if err != nil {
		return nil, model.Errorf(model.CodeInvalid, "cannot read the server's log: %w", err)
	}
	r, member := &Recovery{}, false
	for _, srv := range conf.Servers {
		voter := srv.Suffrage == raft.Voter
		r.Servers = append(r.Servers, Server{ID: string(srv.ID), Addr: string(srv.Address), Voter: voter})
		if string(srv.ID) == id {
			member, r.Voter = true, voter
		}
	}
	switch {
	case len(r.Servers) == 0:
		return nil, model.Errorf(model.CodeInvalid, "this server has never belonged to a cluster: there is nothing to recover")
	case !member:
		return nil, model.Errorf(model.CodeInvalid, "this server was removed from its cluster before: recover from one that belonged to it")
	}
	snaps, err := s.snapshots.List()
	if err != nil {
		return nil, err
	}
	if len(snaps) > 0 {
		r.Index, r.Term = snaps[0].Index, snaps[0].Term
	}
	last, err := s.logs.LastIndex()
	if err != nil || last <= r.Index {
		return r, err
	}
	var l raft.Log
	if err := s.logs.GetLog(last, &l); err != nil {
		return nil, err
	}
	r.Index, r.Term = l.Index, l.Term
	return r, nil
}
