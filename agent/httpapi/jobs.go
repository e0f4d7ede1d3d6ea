package httpapi

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"

	"github.com/steppe-project/steppe/agent/httpapi/jobjson"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/api/jobspec"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/rules"
	"github.com/steppe-project/steppe/model/scaling"
)

func (s *Server) jobRoutes() []Route {
	return []Route{
		get("/v1/jobs", "List jobs.", s.listJobs).with(http.MethodPut, s.registerJob).faults(http.StatusInternalServerError),
		here(put("/v1/jobs/parse", "Turn a job file into the job's JSON.", s.parseJob))[0],
		here(put("/v1/validate/job", "Check a job without registering it.", s.validateJob))[0],
		get("/v1/job/{id}", "Read a job.", s.getJob).with(http.MethodPut, s.registerJob).
			with(http.MethodDelete, s.deregisterJob).faults(http.StatusInternalServerError),
		get("/v1/job/{id}/versions", "List a job's versions, newest first; diffs: each against the one before it, or against diff_version or diff_tag.", s.jobVersions),
		get("/v1/job/{id}/allocations", "List a job's allocations.", s.jobAllocs),
		get("/v1/job/{id}/evaluations", "List a job's evaluations.", s.jobEvals),
		get("/v1/job/{id}/summary", "Count a job's allocations by group and state.", s.jobSummary),
		get("/v1/job/{id}/submission", "Read the text a job version came from.", s.jobSubmission),
		put("/v1/job/{id}/evaluate", "Have the scheduler look at a job again.", s.evaluateJob),
		put("/v1/job/{id}/plan", "Tell what registering a job would do.", s.planJob).faults(http.StatusInternalServerError),
		get("/v1/job/{id}/scale", "Read the counts of a job's groups.", s.jobScaleStatus).
			with(http.MethodPut, s.scaleJob),
		put("/v1/job/{id}/dispatch", "Launch a parameterized job.", s.dispatchJob),
		put("/v1/job/{id}/periodic/force", "Launch a periodic job now.", s.forceJob),
	}
}

func (s *Server) listJobs(q *request) (any, error) {
	meta, err := q.flag("meta")
	if err != nil {
		return nil, err
	}
	out, err := msg.JobList.Call(q.r.Context(), q.servers(), &msg.JobListRequest{QueryOptions: q.query, WithMeta: meta})
	if err != nil {
		return nil, err
	}
	q.meta(out.QueryMeta)
	return orEmpty(out.Jobs), nil
}

// registerBody is what clients PUT. Unknown fields of the job become warnings.
type registerBody struct {
	Job            json.RawMessage
	Submission     *model.JobSubmission
	EnforceIndex   bool
	JobModifyIndex uint64
	PreserveCounts bool
	EvalPriority   int
	Region         string
	Namespace      string
}

// job reads the job of a request, and finds the region that the request is for.
func (q *request) job(body registerBody) (*model.Job, []string, error) {
	raw := body.Job
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil, &statusError{http.StatusBadRequest, "Job must be specified"}
	}
	job, warnings, err := model.DecodeJob(raw)
	if err != nil {
		return nil, nil, &statusError{http.StatusBadRequest, err.Error()}
	}
	if job.ID == "" && job.Name == "" {
		return nil, nil, &statusError{http.StatusBadRequest, "Job ID hasn't been provided"}
	}
	// A request that names no region goes to the job's. "global" is what clients
	// fill in for a job that names none.
	if q.query.Region == "" {
		q.query.Region = body.Region
	}
	if q.query.Region == "" && job.Region != model.DefaultRegion {
		q.query.Region = job.Region
	}
	if ns := q.query.Namespace; ns != "" && ns != model.AllNamespaces && (job.Namespace == "" || job.Namespace == model.DefaultNamespace) {
		job.Namespace = ns
	}
	return job, warnings, nil
}

func (s *Server) registerJob(q *request) (any, error) {
	var body registerBody
	if err := q.body(&body, false); err != nil {
		return nil, asBadRequest(err)
	}
	job, warnings, err := q.job(body)
	if err != nil {
		return nil, err
	}
	if id := q.r.PathValue("id"); id != "" && id != job.ID {
		return nil, &statusError{http.StatusBadRequest, "Job ID does not match name"}
	}
	req := &msg.JobRegisterRequest{
		WriteOptions: q.writeOptions(), Job: job, Submission: body.Submission,
		EnforceIndex: body.EnforceIndex, JobModifyIndex: body.JobModifyIndex,
		PreserveCounts: body.PreserveCounts, EvalPriority: body.EvalPriority,
	}
	req.Namespace = job.Namespace
	out, err := msg.JobRegister.Call(q.r.Context(), q.servers(), req)
	if err != nil {
		return nil, err
	}
	q.index(out.Index)
	if out.Warnings != "" {
		warnings = append(warnings, out.Warnings)
	}
	return jobjson.Registered{
		EvalID: out.EvalID, EvalCreateIndex: out.EvalCreateIndex, JobModifyIndex: out.JobModifyIndex,
		Index: out.Index, Warnings: jobjson.WarningText(warnings),
	}, nil
}

func (s *Server) planJob(q *request) (any, error) {
	var body struct {
		registerBody
		Diff           bool
		PolicyOverride bool
	}
	if err := q.body(&body, false); err != nil {
		return nil, asBadRequest(err)
	}
	job, warnings, err := q.job(body.registerBody)
	if err != nil {
		return nil, err
	}
	if q.r.PathValue("id") != job.ID {
		return nil, &statusError{http.StatusBadRequest, "Job ID does not match"}
	}
	req := &msg.JobPlanRequest{WriteOptions: q.writeOptions(), Job: job, Diff: body.Diff}
	req.Namespace = job.Namespace
	out, err := msg.JobPlan.Call(q.r.Context(), q.servers(), req)
	if err != nil {
		return nil, err
	}
	q.index(out.Index)
	if out.Warnings != "" {
		warnings = append(warnings, out.Warnings)
	}
	return jobjson.Of(out, jobjson.WarningText(warnings)), nil
}

// asBadRequest keeps 400 for a malformed body on routes whose faults are 500.
func asBadRequest(err error) error {
	if model.CodeOf(err) == model.CodeInvalid {
		return &statusError{http.StatusBadRequest, err.Error()}
	}
	return err
}

func (s *Server) parseJob(q *request) (any, error) {
	var body struct {
		JobHCL       string
		Variables    string
		Canonicalize bool
	}
	if err := q.body(&body, false); err != nil {
		return nil, err
	}
	if body.JobHCL == "" {
		return nil, bad("Job spec is empty")
	}
	var opts jobspec.Options
	if body.Variables != "" {
		opts.VarFiles = []jobspec.Source{{Name: "variables", Data: []byte(body.Variables)}}
	}
	file, err := jobspec.Parse("job.hcl", []byte(body.JobHCL), opts)
	if err != nil {
		return nil, bad("%s", err.Error())
	}
	if body.Canonicalize {
		file.Job.Canonicalize()
	}
	return file.Job, nil
}

func (s *Server) validateJob(q *request) (any, error) {
	var body registerBody
	if err := q.body(&body, false); err != nil {
		return nil, err
	}
	job, warnings, err := q.job(body)
	if err != nil {
		return nil, err
	}
	if q.foreign() {
		if err := q.knownRegion(); err != nil {
			return nil, err
		}
	}
	job.Canonicalize()
	return jobjson.ValidationOf(rules.Problems(job), warnings), nil
}

func (q *request) jobQuery() *msg.JobQuery {
	return &msg.JobQuery{QueryOptions: q.query, JobID: q.r.PathValue("id")}
}

var errJobNotFound = model.Errorf(model.CodeNotFound, "job not found")

func (s *Server) getJob(q *request) (any, error) {
	out, err := msg.JobGet.Call(q.r.Context(), q.servers(), q.jobQuery())
	if err != nil {
		return nil, err
	}
	q.meta(out.QueryMeta)
	if out.Job == nil {
		return nil, errJobNotFound
	}
	return out.Job, nil
}

func (s *Server) deregisterJob(q *request) (any, error) {
	purge, err := q.flag("purge")
	if err != nil {
		return nil, err
	}
	noDelay, err := q.flag("no_shutdown_delay")
	if err != nil {
		return nil, err
	}
	priority, err := q.number("eval_priority")
	if err != nil {
		return nil, err
	}
	out, err := msg.JobDeregister.Call(q.r.Context(), q.servers(), &msg.JobDeregisterRequest{
		WriteOptions: q.writeOptions(), JobID: q.r.PathValue("id"), Purge: purge, NoShutdownDelay: noDelay, EvalPriority: int(priority),
	})
	return q.registered(out, err)
}

// registered answers a write that created an evaluation.
func (q *request) registered(out *msg.JobRegisterResponse, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	q.index(out.Index)
	return jobjson.Registered{
		EvalID: out.EvalID, EvalCreateIndex: out.EvalCreateIndex, JobModifyIndex: out.JobModifyIndex,
		Index: out.Index, Warnings: out.Warnings,
	}, nil
}

func (s *Server) jobVersions(q *request) (any, error) {
	out, err := msg.JobVersions.Call(q.r.Context(), q.servers(), q.jobQuery())
	if err != nil {
		return nil, err
	}
	q.meta(out.QueryMeta)
	if len(out.Versions) == 0 {
		return nil, model.Errorf(model.CodeNotFound, "job versions not found")
	}
	diffs, err := q.flag("diffs")
	if err != nil {
		return nil, err
	}
	base, err := q.baseVersion(out.Versions)
	if err != nil {
		return nil, err
	}
	if base != nil {
		return jobjson.VersionsAgainst(base, out.Versions), nil
	}
	return jobjson.VersionsOf(out.Versions, diffs), nil
}

// baseVersion is the version that the others are to be compared with; nil when none is
// named.
func (q *request) baseVersion(list []*model.Job) (*model.Job, error) {
	values := q.r.URL.Query()
	tag, number := values.Get("diff_tag"), values.Get("diff_version")
	if tag != "" && number != "" {
		return nil, bad("diff_tag and diff_version cannot both be given")
	}
	if tag == "" && number == "" {
		return nil, nil
	}
	what, is := "tag "+strconv.Quote(tag), func(v *model.Job) bool { return v.VersionTag != nil && v.VersionTag.Name == tag }
	if number != "" {
		n, err := strconv.ParseUint(number, 10, 64)
		if err != nil {
			return nil, bad("Failed to parse value of %q (%q) as a version: %v", "diff_version", number, err)
		}
		what, is = "version "+number, func(v *model.Job) bool { return v.Version == n }
	}
	if i := slices.IndexFunc(list, is); i >= 0 {
		return list[i], nil
	}
	return nil, model.Errorf(model.CodeNotFound, "the job has no %s, or no more", what)
}

func (s *Server) jobAllocs(q *request) (any, error) {
	all, err := q.flag("all")
	if err != nil {
		return nil, err
	}
	out, err := msg.AllocList.Call(q.r.Context(), q.servers(), &msg.AllocListRequest{
		QueryOptions: q.query, JobID: q.r.PathValue("id"), AllVersion: all, TaskStates: true,
	})
	if err != nil {
		return nil, err
	}
	q.meta(out.QueryMeta)
	return orEmpty(out.Allocs), nil
}

func (s *Server) jobEvals(q *request) (any, error) {
	out, err := msg.EvalList.Call(q.r.Context(), q.servers(), &msg.EvalListRequest{QueryOptions: q.query, JobID: q.r.PathValue("id")})
	if err != nil {
		return nil, err
	}
	q.meta(out.QueryMeta)
	return orEmpty(out.Evals), nil
}

func (s *Server) jobSummary(q *request) (any, error) {
	out, err := msg.JobSummary.Call(q.r.Context(), q.servers(), q.jobQuery())
	if err != nil {
		return nil, err
	}
	q.meta(out.QueryMeta)
	if out.Summary == nil {
		return nil, errJobNotFound
	}
	return out.Summary, nil
}

func (s *Server) jobSubmission(q *request) (any, error) {
	version, err := q.number("version")
	if err != nil {
		return nil, err
	}
	req := q.jobQuery()
	req.Version = uint64(version)
	out, err := msg.JobSubmission.Call(q.r.Context(), q.servers(), req)
	if err != nil {
		return nil, err
	}
	q.meta(out.QueryMeta)
	if out.Submission == nil {
		return nil, model.Errorf(model.CodeNotFound, "job source not found")
	}
	return out.Submission, nil
}

func (s *Server) evaluateJob(q *request) (any, error) {
	var body struct {
		JobID       string
		EvalOptions struct{ ForceReschedule bool }
	}
	if err := q.body(&body, true); err != nil {
		return nil, err
	}
	if id := q.r.PathValue("id"); body.JobID != "" && body.JobID != id {
		return nil, bad("Job ID does not match")
	}
	out, err := msg.JobEvaluate.Call(q.r.Context(), q.servers(), &msg.JobEvaluateRequest{
		WriteOptions: q.writeOptions(), JobID: q.r.PathValue("id"), ForceReschedule: body.EvalOptions.ForceReschedule,
	})
	return q.registered(out, err)
}

func (s *Server) jobScaleStatus(q *request) (any, error) {
	out, err := msg.JobScaleInfo.Call(q.r.Context(), q.servers(), q.jobQuery())
	if err != nil {
		return nil, err
	}
	q.meta(out.QueryMeta)
	if out.Status == nil {
		return nil, errJobNotFound
	}
	return out.Status, nil
}

func (s *Server) scaleJob(q *request) (any, error) {
	var body struct {
		Target         map[string]string
		Count          *int64
		Message        string
		Error          bool
		Meta           scaling.RawJSON
		PolicyOverride bool
		EnforceIndex   bool
		JobModifyIndex uint64
	}
	if err := q.body(&body, false); err != nil {
		return nil, err
	}
	out, err := msg.JobScale.Call(q.r.Context(), q.servers(), &msg.JobScaleRequest{
		WriteOptions: q.writeOptions(), JobID: q.r.PathValue("id"), Group: body.Target["Group"], Count: body.Count,
		Message: body.Message, Error: body.Error, Meta: body.Meta, PolicyOverride: body.PolicyOverride,
		EnforceIndex: body.EnforceIndex, JobModifyIndex: body.JobModifyIndex,
	})
	return q.registered(out, err)
}
