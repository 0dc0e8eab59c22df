namespace ConfidentialChat.Bench.WholePath.Measuring;

/// <summary>What routes and starts are called in tables and results.</summary>
internal static class RouteNames
{
    public const string Before = "before: ";
    public const string Engine = "engine direct";
    public const string Nginx = "nginx";
    public const string Yarp = "YARP";
    public const string YarpBehindYarp = "YARP behind YARP";
    public const string FloorNode = "floor node";
    public const string FloorNodeV2 = "floor node, envelope v2";
    public const string FloorNodeV2Signing = "floor node, envelope v2, receipts and vouchers";
    public const string FloorPath = "floor relay + floor node";
    public const string Ehbp = "EHBP in Node.js";
    public const string Portkey = "Portkey's gateway";
    public const string Gateway = "gateway";
    public const string GatewayWithLock = "gateway, lock counted";
    public const string Node = "node";
    public const string GatewayV2 = "gateway, envelope v2";
    public const string GatewayV2Priced = "gateway, envelope v2, with a price";
    public const string GatewayV2Server = "gateway on PostgreSQL, envelope v2";
    public const string NodeV2 = "node, envelope v2";
    public const string PathV2 = "gateway + node, envelope v2";
    public const string ClientV2 = "client + gateway + node, envelope v2";
    public const string RawClientV2 = "client, raw call + gateway + node, envelope v2";
    public const string Sidecar = "sidecar, envelope v2";
    public const string PathSidecar = "sidecar + gateway + node, envelope v2";
    public const string Path = "gateway + node";
    public const string PathWithLock = "gateway + node, lock counted";
    public const string Client = "client + gateway + node";
    public const string RawClient = "client, raw call + gateway + node";
    public const string Enrolment = "enrolment";
    public const string Heartbeat = "heartbeat";
    public const string UsageReport = "usage report of one request";
    public const string UsageReports = "usage report of 48 requests";
    public const string Nodes = "list of nodes";
    public const string NodesKnown = "list of nodes, unchanged";
    public const string Evidence = "bundle of a node";
    public const string HelpStart = "cchat --help";
    public const string GatewayStart = "gateway ready";
    public const string NodeStart = "node ready";
    public const string UpStart = "cchat up";
}
