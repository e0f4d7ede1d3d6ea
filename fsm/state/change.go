package state

// Table names one typed table of the store.
type Table string

// The tables. Services and variables have no rows in this version.
const (
	TableJobs        Table = "jobs"
	TableJobVersions Table = "job_versions"
	TableJobSummary  Table = "job_summary"
	TableNodes       Table = "nodes"
	TableAllocs      Table = "allocs"
	TableEvals       Table = "evals"
	TableDeployments Table = "deployments"
	TableNodePools   Table = "node_pools"
	TableNamespaces  Table = "namespaces"
	TableConfig      Table = "config" // scheduler configuration, cluster metadata, autopilot, signing keys, feature level
	TableSubmissions Table = "job_submissions"
	TableRequests    Table = "requests" // outcomes of commands with a request id
	TableServices    Table = "services"
	TableVariables   Table = "variables"
	TableScaling     Table = "scaling_events"
	TableLaunches    Table = "launches"
	TableQuotas      Table = "quotas"
)

// Tables lists every table. Append only: the state hash depends on the order.
var Tables = [...]Table{
	TableNamespaces, TableNodePools, TableConfig, TableNodes, TableJobs, TableJobVersions, TableSubmissions,
	TableJobSummary, TableEvals, TableDeployments, TableAllocs, TableRequests, TableServices, TableVariables,
	TableScaling, TableLaunches, TableQuotas,
}

// tableCount is the number of tables; fixed-size arrays are indexed by ordinal.
const tableCount = len(Tables)

var ordinals = func() map[Table]int {
	m := make(map[Table]int, tableCount)
	for i, t := range Tables {
		m[t] = i
	}
	return m
}()

// Change is one row that a committed transaction created (Before nil), updated
// or deleted (After nil). Before and After are pointers to the table's model
// type and are immutable. Row types by table:
//
//	jobs, job_versions  *model.Job            key namespace/id, namespace/id/version
//	job_summary         *model.JobSummary     key namespace/id
//	job_submissions     *Submission           key namespace/id/version
//	nodes               *model.Node           key id
//	allocs              *model.Allocation     key id
//	evals               *model.Evaluation     key id
//	deployments         *model.Deployment     key id
//	node_pools          *model.NodePool       key name
//	namespaces          *tenancy.Namespace    key name
//	config              *model.SchedulerConfiguration, *model.AutopilotConfiguration,
//	                    *model.ClusterMetadata, *model.SigningKey, *feature.Active
//	                                          key scheduler, autopilot, cluster, signing_key/id, feature
//	requests            *Request              key id
//	scaling_events      *ScalingEvents        key namespace/id of the job
//	launches            *Launches             key namespace/id of the job
//	quotas              *tenancy.Quota        key name
type Change struct {
	Table  Table
	Key    string
	Index  uint64
	Before any
	After  any
}

// Keys of the config table's single rows.
const (
	KeyScheduler  = "scheduler"
	KeyAutopilot  = "autopilot"
	KeyCluster    = "cluster"
	KeySigningKey = "signing_key/" // + id
	KeyFeature    = "feature"
)

// JobKey is the key of a job in the tables jobs and job_summary.
func JobKey(namespace, id string) string { return namespace + "/" + id }
