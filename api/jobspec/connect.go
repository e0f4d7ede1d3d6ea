package jobspec

import (
	"reflect"
	"strings"

	"github.com/steppe-project/steppe/model"
)

// The connect block belongs to a product that Steppe does without: it parses,
// so that the whole file can be checked, and submitting it is refused by name.
// Its schema is this table and not model types. A line is a block by its path,
// then its parts as name=JSON:type; * marks a repeated block, % one that forms
// a map by label.
const connectTable = `
connect: native=Native:bool gateway=Gateway:{gateway} sidecar_service=SidecarService:{sidecar_service} sidecar_task=SidecarTask:{sidecar_task}
gateway: proxy=Proxy:{gateway_proxy} ingress=Ingress:{ingress} terminating=Terminating:{terminating} mesh=Mesh:{mesh}
gateway_proxy: connect_timeout=ConnectTimeout:duration envoy_gateway_bind_tagged_addresses=EnvoyGatewayBindTaggedAddresses:bool envoy_gateway_bind_addresses=EnvoyGatewayBindAddresses:{bind_address}% envoy_gateway_no_default_bind=EnvoyGatewayNoDefaultBind:bool envoy_dns_discovery_type=EnvoyDNSDiscoveryType:string config=Config:any
bind_address: @label=Name:string address=Address:string port=Port:int
ingress: tls=TLS:{tls} listener=Listeners:{listener}*
tls: enabled=Enabled:bool tls_min_version=TLSMinVersion:string tls_max_version=TLSMaxVersion:string cipher_suites=CipherSuites:strings sds=SDS:{sds}
sds: cluster_name=ClusterName:string cert_resource=CertResource:string
listener: port=Port:int protocol=Protocol:string service=Services:{ingress_service}*
ingress_service: name=Name:string hosts=Hosts:strings max_connections=MaxConnections:uint max_pending_requests=MaxPendingRequests:uint max_concurrent_requests=MaxConcurrentRequests:uint tls=TLS:{tls} request_headers=RequestHeaders:{headers} response_headers=ResponseHeaders:{headers}
headers: remove=Remove:strings add=Add:map set=Set:map
terminating: service=Services:{linked_service}*
linked_service: name=Name:string ca_file=CAFile:string cert_file=CertFile:string key_file=KeyFile:string sni=SNI:string
mesh:
sidecar_service: tags=Tags:strings port=Port:string disable_default_tcp_check=DisableDefaultTCPCheck:bool proxy=Proxy:{proxy} meta=Meta:map
proxy: local_service_address=LocalServiceAddress:string local_service_port=LocalServicePort:int expose=Expose:{expose} upstreams=Upstreams:{upstream}* transparent_proxy=TransparentProxy:{transparent_proxy} config=Config:any
expose: path=Paths:{expose_path}*
expose_path: path=Path:string protocol=Protocol:string local_path_port=LocalPathPort:int listener_port=ListenerPort:string
upstream: destination_name=DestinationName:string destination_namespace=DestinationNamespace:string destination_peer=DestinationPeer:string destination_partition=DestinationPartition:string destination_type=DestinationType:string local_bind_port=LocalBindPort:int datacenter=Datacenter:string local_bind_address=LocalBindAddress:string local_bind_socket_path=LocalBindSocketPath:string local_bind_socket_mode=LocalBindSocketMode:string mesh_gateway=MeshGateway:{mesh_gateway} config=Config:any
mesh_gateway: mode=Mode:string
transparent_proxy: uid=UID:string outbound_port=OutboundPort:uint exclude_inbound_ports=ExcludeInboundPorts:strings exclude_outbound_ports=ExcludeOutboundPorts:numbers exclude_outbound_cidrs=ExcludeOutboundCIDRs:strings exclude_uids=ExcludeUIDs:strings no_dns=NoDNS:bool
sidecar_task: name=Name:string driver=Driver:string user=User:string kill_timeout=KillTimeout:duration shutdown_delay=ShutdownDelay:duration kill_signal=KillSignal:string config=Config:any env=Env:map meta=Meta:map
`

var tableKinds = map[string]kind{
	"string": kindString, "bool": kindBool, "int": kindInt, "uint": kindUint, "duration": kindDuration,
	"strings": kindStrings, "numbers": kindNumbers, "map": kindStringMap, "any": kindAnyMap,
}

// connectBlock builds the schema of the table; b lends the task's blocks.
func connectBlock(b *builder) *block {
	blocks := map[string]*block{}
	at := func(name string) *block {
		if blocks[name] == nil {
			blocks[name] = &block{fields: map[string]*field{}}
		}
		return blocks[name]
	}
	for line := range strings.Lines(connectTable) {
		name, parts, ok := strings.Cut(strings.TrimSpace(line), ":")
		if !ok {
			continue
		}
		s := at(name)
		for part := range strings.FieldsSeq(parts) {
			attr, rest, _ := strings.Cut(part, "=")
			json, typ, _ := strings.Cut(rest, ":")
			if attr == keyLabel {
				s.label = json
				continue
			}
			s.fields[attr] = tableField(json, typ, at)
		}
	}
	sidecar := at("sidecar_task").fields
	task := b.of(reflect.TypeFor[model.Task]()).fields
	for _, shared := range []string{"resources", "logs", "volume_mount", "identity"} {
		sidecar[shared] = task[shared]
	}
	return at("connect")
}

func tableField(json, typ string, at func(string) *block) *field {
	if k, ok := tableKinds[typ]; ok {
		return &field{json: json, kind: k, bits: 64}
	}
	name := strings.Trim(typ, "{}*%")
	f := &field{json: json, kind: kindBlock, block: at(name)}
	switch typ[len(typ)-1] {
	case '*':
		f.kind = kindBlocks
	case '%':
		f.kind = kindBlockMap
	}
	return f
}
