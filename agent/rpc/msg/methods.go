package msg

import "github.com/steppe-project/steppe/agent/rpc"

// Jobs.
var (
	JobRegister    = rpc.Method[JobRegisterRequest, JobRegisterResponse]{Name: "Job.Register", Forward: rpc.Leader, Keyed: true}
	JobDeregister  = rpc.Method[JobDeregisterRequest, JobRegisterResponse]{Name: "Job.Deregister", Forward: rpc.Leader, Keyed: true}
	JobEvaluate    = rpc.Method[JobEvaluateRequest, JobRegisterResponse]{Name: "Job.Evaluate", Forward: rpc.Leader, Keyed: true}
	JobScale       = rpc.Method[JobScaleRequest, JobRegisterResponse]{Name: "Job.Scale", Forward: rpc.Leader, Keyed: true}
	JobPlan        = rpc.Method[JobPlanRequest, JobPlanResponse]{Name: "Job.Plan", Forward: rpc.Leader, Idempotent: true}
	JobDispatch    = rpc.Method[JobDispatchRequest, JobLaunchResponse]{Name: "Job.Dispatch", Forward: rpc.Leader, Keyed: true}
	JobForce       = rpc.Method[JobForceRequest, JobLaunchResponse]{Name: "Job.PeriodicForce", Forward: rpc.Leader, Keyed: true}
	JobGet         = rpc.Method[JobQuery, JobResponse]{Name: "Job.Get", Forward: rpc.LeaderOrStale}
	JobList        = rpc.Method[JobListRequest, JobListResponse]{Name: "Job.List", Forward: rpc.LeaderOrStale}
	JobVersions    = rpc.Method[JobQuery, JobVersionsResponse]{Name: "Job.Versions", Forward: rpc.LeaderOrStale}
	JobSummary     = rpc.Method[JobQuery, JobSummaryResponse]{Name: "Job.Summary", Forward: rpc.LeaderOrStale}
	JobSubmission  = rpc.Method[JobQuery, JobSubmissionResponse]{Name: "Job.Submission", Forward: rpc.LeaderOrStale}
	JobScaleInfo   = rpc.Method[JobQuery, JobScaleStatusResponse]{Name: "Job.ScaleStatus", Forward: rpc.LeaderOrStale}
	JobDeployments = rpc.Method[JobQuery, DeploymentsResponse]{Name: "Job.Deployments", Forward: rpc.LeaderOrStale}
	JobRevert      = rpc.Method[JobRevertRequest, JobRegisterResponse]{Name: "Job.Revert", Forward: rpc.Leader, Keyed: true}
	JobStable      = rpc.Method[JobStableRequest, WriteMeta]{Name: "Job.Stable", Forward: rpc.Leader, Keyed: true}
	JobTag         = rpc.Method[JobTagRequest, WriteMeta]{Name: "Job.Tag", Forward: rpc.Leader, Keyed: true}
)

// Deployments.
var (
	DeploymentList    = rpc.Method[DeploymentListRequest, DeploymentsResponse]{Name: "Deployment.List", Forward: rpc.LeaderOrStale}
	DeploymentGet     = rpc.Method[IDQuery, DeploymentResponse]{Name: "Deployment.Get", Forward: rpc.LeaderOrStale}
	DeploymentStatus  = rpc.Method[DeploymentStatusRequest, DeploymentWriteResponse]{Name: "Deployment.Status", Forward: rpc.Leader, Keyed: true}
	DeploymentPromote = rpc.Method[DeploymentPromoteRequest, DeploymentWriteResponse]{Name: "Deployment.Promote", Forward: rpc.Leader, Keyed: true}
	AllocHealth       = rpc.Method[AllocHealthRequest, DeploymentWriteResponse]{Name: "Deployment.AllocHealth", Forward: rpc.Leader, Keyed: true}
)

// Forecasts: reads that take the server some thought.
var (
	Explain = rpc.Method[ExplainRequest, ExplainResponse]{Name: "Forecast.Explain", Forward: rpc.LeaderOrStale}
	WhatIf  = rpc.Method[WhatIfRequest, WhatIfResponse]{Name: "Forecast.WhatIf", Forward: rpc.LeaderOrStale}
)

// Allocations and evaluations.
var (
	AllocList = rpc.Method[AllocListRequest, AllocListResponse]{Name: "Alloc.List", Forward: rpc.LeaderOrStale}
	AllocGet  = rpc.Method[IDQuery, AllocResponse]{Name: "Alloc.Get", Forward: rpc.LeaderOrStale}
	AllocStop = rpc.Method[AllocStopRequest, EvalIDResponse]{Name: "Alloc.Stop", Forward: rpc.Leader, Keyed: true}
	EvalList  = rpc.Method[EvalListRequest, EvalListResponse]{Name: "Eval.List", Forward: rpc.LeaderOrStale}
	EvalCount = rpc.Method[EvalListRequest, CountResponse]{Name: "Eval.Count", Forward: rpc.LeaderOrStale}
	EvalGet   = rpc.Method[IDQuery, EvalResponse]{Name: "Eval.Get", Forward: rpc.LeaderOrStale}
)

// Nodes, as operators see them.
var (
	NodeList        = rpc.Method[NodeListRequest, NodeListResponse]{Name: "Node.List", Forward: rpc.LeaderOrStale}
	NodeGet         = rpc.Method[IDQuery, NodeResponse]{Name: "Node.Get", Forward: rpc.LeaderOrStale}
	NodeAllocs      = rpc.Method[IDQuery, AllocsResponse]{Name: "Node.Allocs", Forward: rpc.LeaderOrStale}
	NodeEligibility = rpc.Method[NodeEligibilityRequest, NodeWriteResponse]{Name: "Node.Eligibility", Forward: rpc.Leader, Keyed: true}
	NodeDrain       = rpc.Method[NodeDrainRequest, NodeWriteResponse]{Name: "Node.Drain", Forward: rpc.Leader, Keyed: true}
	NodePurge       = rpc.Method[NodeWriteRequest, NodeWriteResponse]{Name: "Node.Purge", Forward: rpc.Leader, Keyed: true}
	NodeEvaluate    = rpc.Method[NodeWriteRequest, NodeWriteResponse]{Name: "Node.Evaluate", Forward: rpc.Leader, Keyed: true}
)

// Node pools, namespaces and quotas.
var (
	NodePools       = rpc.Method[StatusRequest, NodePoolsResponse]{Name: "NodePool.List", Forward: rpc.LeaderOrStale}
	NodePoolUpsert  = rpc.Method[NodePoolUpsertRequest, WriteMeta]{Name: "NodePool.Upsert", Forward: rpc.Leader, Keyed: true}
	NodePoolDelete  = rpc.Method[NameRequest, WriteMeta]{Name: "NodePool.Delete", Forward: rpc.Leader, Keyed: true}
	Namespaces      = rpc.Method[StatusRequest, NamespacesResponse]{Name: "Namespace.List", Forward: rpc.LeaderOrStale}
	NamespaceUpsert = rpc.Method[NamespaceUpsertRequest, WriteMeta]{Name: "Namespace.Upsert", Forward: rpc.Leader, Keyed: true}
	NamespaceDelete = rpc.Method[NameRequest, WriteMeta]{Name: "Namespace.Delete", Forward: rpc.Leader, Keyed: true}
	Quotas          = rpc.Method[StatusRequest, QuotasResponse]{Name: "Quota.List", Forward: rpc.LeaderOrStale}
	QuotaUpsert     = rpc.Method[QuotaUpsertRequest, WriteMeta]{Name: "Quota.Upsert", Forward: rpc.Leader, Keyed: true}
	QuotaDelete     = rpc.Method[NameRequest, WriteMeta]{Name: "Quota.Delete", Forward: rpc.Leader, Keyed: true}
	QuotaUsages     = rpc.Method[StatusRequest, UsagesResponse]{Name: "Quota.Usages", Forward: rpc.LeaderOrStale}
)

// The node stream and what the server that holds it tells the leader.
var (
	NodeSession      = rpc.StreamMethod[NodeUp, NodeDown]{Name: "Node.Session", Inside: true}
	NodeRegisterAt   = rpc.Method[NodeRegisterRequest, NodeWriteResponse]{Name: "Node.Register", Forward: rpc.Leader, Idempotent: true, Inside: true}
	NodeUpdateAllocs = rpc.Method[NodeUpdateAllocsRequest, WriteMeta]{Name: "Node.UpdateAllocs", Forward: rpc.Leader, Idempotent: true, Inside: true}
	NodeReportAt     = rpc.Method[NodeReportRequest, NodeReportResponse]{Name: "Node.Report", Forward: rpc.Leader, Idempotent: true, Inside: true}
	NodeRenewAt      = rpc.Method[NodeRenewRequest, NodeRenewResponse]{Name: "Node.Renew", Forward: rpc.Leader, Idempotent: true, Inside: true}
	HasNode          = rpc.Method[HasNodeRequest, BoolResponse]{Name: "Node.HasTunnel", Inside: true}
)

// The cluster.
var (
	StatusLeader      = rpc.Method[StatusRequest, StringResponse]{Name: "Status.Leader", Idempotent: true}
	StatusPeers       = rpc.Method[StatusRequest, StringsResponse]{Name: "Status.Peers", Idempotent: true}
	StatusRegions     = rpc.Method[StatusRequest, StringsResponse]{Name: "Status.Regions", Idempotent: true}
	StatusMembers     = rpc.Method[StatusRequest, MembersResponse]{Name: "Status.Members", Idempotent: true}
	RaftConfiguration = rpc.Method[StatusRequest, RaftConfigurationResponse]{Name: "Operator.RaftConfiguration", Forward: rpc.LeaderOrStale}
	RaftRemovePeer    = rpc.Method[RaftPeerRequest, WriteMeta]{Name: "Operator.RaftRemovePeer", Forward: rpc.Leader}
	RaftTransfer      = rpc.Method[RaftPeerRequest, WriteMeta]{Name: "Operator.RaftTransferLeadership", Forward: rpc.Leader}
	SchedulerGet      = rpc.Method[StatusRequest, SchedulerConfigResponse]{Name: "Operator.SchedulerGet", Forward: rpc.LeaderOrStale}
	SchedulerSet      = rpc.Method[SchedulerConfigRequest, CASResponse]{Name: "Operator.SchedulerSet", Forward: rpc.Leader, Keyed: true}
	BrakeGet          = rpc.Method[StatusRequest, BrakeResponse]{Name: "Operator.BrakeGet", Forward: rpc.LeaderOrStale}
	BrakeRelease      = rpc.Method[BrakeReleaseRequest, CASResponse]{Name: "Operator.BrakeRelease", Forward: rpc.Leader, Keyed: true}
	AutopilotGet      = rpc.Method[StatusRequest, AutopilotConfigResponse]{Name: "Operator.AutopilotGet", Forward: rpc.LeaderOrStale}
	AutopilotSet      = rpc.Method[AutopilotConfigRequest, CASResponse]{Name: "Operator.AutopilotSet", Forward: rpc.Leader, Keyed: true}
	Features          = rpc.Method[StatusRequest, FeaturesResponse]{Name: "Operator.Features", Idempotent: true}
	FeatureActivate   = rpc.Method[FeatureActivateRequest, FeatureActivateResponse]{Name: "Operator.FeatureActivate", Forward: rpc.Leader}
	AutopilotHealth   = rpc.Method[StatusRequest, ServersHealthResponse]{Name: "Operator.AutopilotHealth", Forward: rpc.LeaderOrStale}
	SnapshotSave      = rpc.StreamMethod[StatusRequest, Chunk]{Name: "Operator.SnapshotSave", Forward: rpc.LeaderOrStale}
	SnapshotRestore   = rpc.StreamMethod[Chunk, WriteMeta]{Name: "Operator.SnapshotRestore", Forward: rpc.Leader}
	SystemGC          = rpc.Method[SystemGCRequest, WriteMeta]{Name: "System.GC", Forward: rpc.Leader}
	SystemReconcile   = rpc.Method[SystemGCRequest, WriteMeta]{Name: "System.ReconcileSummaries", Forward: rpc.Leader}
	Search            = rpc.Method[SearchRequest, SearchResponse]{Name: "Search.Find", Forward: rpc.LeaderOrStale}
	EventStream       = rpc.StreamMethod[EventStreamRequest, EventBatch]{Name: "Event.Stream"}
	SigningKeys       = rpc.Method[StatusRequest, SigningKeysResponse]{Name: "Keyring.Public", Forward: rpc.LeaderOrStale}
)

// What a client agent answers, directly or through a server's tunnel to it. A
// server routes a request by the node of its allocation.
var (
	ClientFSList       = rpc.Method[AllocFileRequest, FileInfosResponse]{Name: "Client.FSList"}
	ClientFSStat       = rpc.Method[AllocFileRequest, FileInfosResponse]{Name: "Client.FSStat"}
	ClientFSStream     = rpc.StreamMethod[AllocFileRequest, FileFrame]{Name: "Client.FSStream"}
	ClientLogs         = rpc.StreamMethod[AllocLogsRequest, FileFrame]{Name: "Client.Logs"}
	ClientAllocStats   = rpc.Method[AllocFileRequest, AllocStatsResponse]{Name: "Client.AllocStats"}
	ClientAllocRestart = rpc.Method[AllocRestartRequest, WriteMeta]{Name: "Client.AllocRestart"}
	ClientAllocSignal  = rpc.Method[AllocSignalRequest, WriteMeta]{Name: "Client.AllocSignal"}
	ClientStats        = rpc.Method[NodeStatsRequest, HostStatsResponse]{Name: "Client.Stats"}
	ClientGC           = rpc.Method[ClientGCRequest, WriteMeta]{Name: "Client.GC"}
)
