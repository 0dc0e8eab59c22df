// A web service: settings from its configuration, a health check, telemetry without content.
//   CONFIDENTIALCHAT_SERVER_URL=http://127.0.0.1:8080 CONFIDENTIALCHAT_API_KEY=cc_... dotnet run samples/web.cs
#:sdk Microsoft.NET.Sdk.Web
#:project ../src/ConfidentialChat.Extensions.AI/ConfidentialChat.Extensions.AI.csproj
#:property RestorePackagesWithLockFile=false


using ConfidentialChat.Extensions.AI;
using Microsoft.Extensions.AI;

var builder = WebApplication.CreateBuilder(args);
builder.Services.AddConfidentialChat(builder.Configuration.GetSection(ConfidentialChatServices.SectionName)).UseFunctionInvocation();
builder.Services.AddHealthChecks().AddConfidentialChat();

var app = builder.Build();
app.MapHealthChecks("/health");
app.MapGet("/ask", async (string question, IChatClient chat, CancellationToken gone) => (await chat.GetResponseAsync(question, cancellationToken: gone)).Text);
await app.RunAsync();
